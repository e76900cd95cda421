import NIOCore

extension Admission {
    /// The better of two replicas chosen at random (Mitzenmacher: The power of two choices, 2001) by the tokens in
    /// flight; before that the one that likely has the prompt's beginning in its cache, unless it is loaded above the
    /// average (Mirrokni et al.: Consistent hashing with bounded loads, 2018).
    static func choose(
        in places: [Place], _ ask: Ask, _ now: NIODeadline, _ random: inout WordGenerator
    ) -> Int? {
        guard places.count > 1 else {
            // Where there is only one, it is asked again.
            guard let only = places.first, only.hasRoom(now, for: ask) else { return nil }
            return 0
        }
        let open = places.indices.filter { places[$0].hasRoom(now, for: ask) }
        var usable = open.filter { !ask.excluded.contains(places[$0].replica.id) }
        // Where no other one can be asked at all, one that failed for this request is asked again.
        if usable.isEmpty,
            !places.contains(where: {
                !$0.isLeaving && $0.health.admittance(now) != .closed && !ask.excluded.contains($0.replica.id)
            })
        {
            usable = open
        }
        guard usable.count > 1 else { return usable.first }
        let load = usable.reduce(0) { $0 + places[$1].tokens }
        let bound = (load + ask.cost) * 5 / (4 * usable.count) + 1
        let preferred =
            ask.affinity == 0 ? nil : usable.max { rank($0, places, ask.affinity) < rank($1, places, ask.affinity) }
        if let preferred, places[preferred].tokens <= bound { return preferred }
        let one = Int.random(in: 0..<usable.count, using: &random)
        let other = (one + 1 + Int.random(in: 0..<usable.count - 1, using: &random)) % usable.count
        let (left, right) = (usable[one], usable[other])
        return places[left].tokens <= places[right].tokens ? left : right
    }

    private static func rank(_ index: Int, _ places: [Place], _ affinity: UInt64) -> UInt64 {
        Hash.mix(affinity ^ places[index].replica.seed)
    }
}
