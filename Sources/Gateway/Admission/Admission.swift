import Synchronization

/// Gives requests their places at replicas; what finds none waits here, in fair order.
///
/// Shared by all event loops. A place is held until its answer has ended, not only begun.
final class Admission: Sendable {
    /// A place at a replica.
    struct Grant: Sendable {
        let replica: Replica
        let deployment: Int
        /// Tokens the replica was charged with.
        let cost: Int
    }

    /// What a request asks for.
    struct Ask: Sendable {
        let deployment: Int
        let key: Int
        /// Tokens of the prompt and of the answer expected.
        let cost: Int
        /// 0 is served first.
        let level: Int
        /// Requests with the same beginning share a hash, and best a replica that has it in its cache.
        let affinity: UInt64
        /// Replicas that failed for this request already.
        var excluded: [Int] = []
    }

    /// Told when a request that waited gets its place; from any thread.
    protocol Waiter: AnyObject, Sendable {
        func granted(_ grant: Grant)
    }

    enum Decision {
        case granted(Grant)
        /// Under this number.
        case waiting(UInt64)
        /// As many wait as may.
        case full(waiting: Int)
        case fullForKey(waiting: Int)
        /// No replica of the version is known, or all are gone.
        case noReplica
    }

    private struct Place {
        let replica: Replica
        var inFlight = 0
        var tokens = 0
        var isUsable = true
        /// Taken out of the configuration; it ends when its last request does.
        var isLeaving = false

        var hasRoom: Bool { isUsable && !isLeaving && inFlight < replica.configuration.maximumInFlight }
    }

    private struct Pool {
        var places: [Place] = []
        var queue = FairQueue<Waiting>(levels: Admission.levels)
    }

    private struct Waiting {
        let ask: Ask
        let waiter: any Waiter
    }

    private struct State {
        var pools: [Pool] = []
        var nextID: UInt64 = 1
        var random = SystemRandomNumberGenerator()
    }

    /// Classes of priority.
    static let levels = 3

    private let limits: GatewayLimits
    private let state = Mutex(State())

    init(limits: GatewayLimits) {
        self.limits = limits
    }

    /// Sets the replicas of the versions; those that are known keep their requests.
    func configure(_ deployments: [[Replica]]) {
        let granted = state.withLock { state in
            while state.pools.count < deployments.count { state.pools.append(Pool()) }
            for (index, replicas) in deployments.enumerated() {
                for place in state.pools[index].places.indices {
                    let isKept = replicas.contains { $0 === state.pools[index].places[place].replica }
                    state.pools[index].places[place].isLeaving = !isKept
                }
                for replica in replicas where !state.pools[index].places.contains(where: { $0.replica === replica }) {
                    state.pools[index].places.append(Place(replica: replica))
                }
                state.pools[index].places.removeAll { $0.isLeaving && $0.inFlight == 0 }
            }
            return state.pools.indices.flatMap { Self.drain(&state, $0) }
        }
        for (waiter, grant) in granted { waiter.granted(grant) }
    }

    /// Takes a place, or a number in the queue.
    /// - Parameter waiter: who is told later; asked for only when there is no place.
    func admit(_ ask: Ask, waiter: () -> any Waiter) -> Decision {
        state.withLock { state in
            let pool = ask.deployment
            guard state.pools[pool].places.contains(where: { !$0.isLeaving && $0.isUsable }) else { return .noReplica }
            if state.pools[pool].queue.count == 0, let grant = Self.take(&state, ask) { return .granted(grant) }
            let waiting = state.pools[pool].queue.count
            guard waiting < limits.queued else { return .full(waiting: waiting) }
            let own = state.pools[pool].queue.count(of: ask.key)
            guard own < limits.queuedPerKey else { return .fullForKey(waiting: own) }
            let id = state.nextID
            state.nextID += 1
            state.pools[pool].queue.append(
                FairQueue.Entry(
                    id: id, key: ask.key, cost: ask.cost, element: Waiting(ask: ask, waiter: waiter())),
                level: ask.level)
            return .waiting(id)
        }
    }

    /// Gives a place back when its answer has ended, and the next request its turn.
    func release(_ grant: Grant) {
        let granted = state.withLock { state in
            let pool = grant.deployment
            if let index = state.pools[pool].places.firstIndex(where: { $0.replica === grant.replica }) {
                state.pools[pool].places[index].inFlight -= 1
                state.pools[pool].places[index].tokens -= grant.cost
                let place = state.pools[pool].places[index]
                if place.isLeaving, place.inFlight == 0 { state.pools[pool].places.remove(at: index) }
            }
            return state.pools[pool].queue.count == 0 ? [] : Self.drain(&state, pool)
        }
        for (waiter, grant) in granted { waiter.granted(grant) }
    }

    /// Leaves the queue.
    /// - Returns: false when a place was given meanwhile: its grant is on its way and must be released.
    func leave(_ id: UInt64, _ ask: Ask) -> Bool {
        state.withLock { state in
            state.pools[ask.deployment].queue.remove(id: id, key: ask.key, level: ask.level) != nil
        }
    }

    /// What waits and runs of one version.
    func load(of deployment: Int) -> (inFlight: Int, waiting: Int, waitingTokens: Int) {
        state.withLock { state in
            let pool = state.pools[deployment]
            return (pool.places.reduce(0) { $0 + $1.inFlight }, pool.queue.count, pool.queue.cost)
        }
    }

    private static func drain(_ state: inout State, _ pool: Int) -> [(any Waiter, Grant)] {
        var granted: [(any Waiter, Grant)] = []
        while state.pools[pool].places.contains(where: \.hasRoom), let entry = state.pools[pool].queue.next() {
            guard let grant = take(&state, entry.element.ask) else {
                // What is free was excluded by this request: it goes on waiting behind the others of its key.
                state.pools[pool].queue.append(entry, level: entry.element.ask.level)
                break
            }
            granted.append((entry.element.waiter, grant))
        }
        return granted
    }

    /// The better of two replicas chosen at random (Mitzenmacher: The power of two choices, 2001) by the tokens in
    /// flight; before that the one that likely has the prompt's beginning in its cache, unless it is loaded above the
    /// average (Mirrokni et al.: Consistent hashing with bounded loads, 2018).
    private static func take(_ state: inout State, _ ask: Ask) -> Grant? {
        let pool = ask.deployment
        let places = state.pools[pool].places
        var usable: [Int] = []
        if places.count > 1 {
            usable = places.indices.filter { places[$0].hasRoom && !ask.excluded.contains(places[$0].replica.id) }
        } else if let only = places.first, only.hasRoom {
            // Where there is only one, it is asked again.
            usable = [0]
        }
        guard let first = usable.first else { return nil }
        var chosen = first
        if usable.count > 1 {
            let load = usable.reduce(0) { $0 + places[$1].tokens }
            let bound = (load + ask.cost) * 5 / (4 * usable.count) + 1
            let preferred =
                ask.affinity == 0
                ? nil : usable.max { rank($0, places, ask.affinity) < rank($1, places, ask.affinity) }
            if let preferred, places[preferred].tokens <= bound {
                chosen = preferred
            } else {
                let one = Int.random(in: 0..<usable.count, using: &state.random)
                let other = (one + 1 + Int.random(in: 0..<usable.count - 1, using: &state.random)) % usable.count
                let (left, right) = (usable[one], usable[other])
                chosen = places[left].tokens <= places[right].tokens ? left : right
            }
        }
        let replica = places[chosen].replica
        state.pools[pool].places[chosen].inFlight += 1
        state.pools[pool].places[chosen].tokens += ask.cost
        return Grant(replica: replica, deployment: pool, cost: ask.cost)
    }

    private static func rank(_ index: Int, _ places: [Place], _ affinity: UInt64) -> UInt64 {
        Hash.mix(affinity ^ places[index].replica.seed)
    }
}
