import NIOCore

extension Admission {
    /// A request of a batch that has a place.
    struct BatchRun {
        enum Kind {
            /// Nobody else was there.
            case idle
            /// Beside others, who do not notice.
            case beside
            /// It had waited for long enough.
            case due
        }

        let number: UInt64
        var kind: Kind
        let start: NIODeadline
        /// That it wants, with those of others that joined it.
        var answers: Int
        let waiter: any Waiter
        /// Whether it was told to give its place back.
        var isPreempted = false
    }

    struct Place {
        let replica: Replica
        var inFlight = 0
        var tokens = 0
        /// What runs here, counted as the replica does.
        var answers = 0
        /// Of all that runs here, what belongs to batches; the last one began last.
        var batches: [BatchRun] = []
        /// What batches may take beside the others.
        var share = BatchShare()
        /// When they may take it again.
        var besideFrom = NIODeadline.uptimeNanoseconds(0)
        /// When somebody else ran here last, and when another gateway said so of its own clients.
        var othersUntil = NIODeadline.uptimeNanoseconds(0)
        var heardUntil = NIODeadline.uptimeNanoseconds(0)
        /// What it said of itself last.
        var load: ConcurrencyLimit.Load?
        var health = ReplicaHealth()
        var limit: ConcurrencyLimit
        /// When it was first seen, if there were others then: it has to warm up.
        var warmsSince: NIODeadline?
        /// Taken out of the configuration; it ends when its last request does.
        var isLeaving = false

        init(_ replica: Replica) {
            self.replica = replica
            limit = ConcurrencyLimit(ceiling: replica.configuration.maximumInFlight)
        }

        /// In a replica that has just come the first requests are slow; it gets its share little by little.
        private static let warmUp = TimeAmount.seconds(10)

        mutating func charge(_ cost: Int, answers: Int) {
            tokens += cost
            self.answers += answers
        }

        /// A request shares the place of another one.
        mutating func join(_ ask: Ask, to number: UInt64?) {
            charge(ask.cost, answers: ask.answers)
            if let run = batches.firstIndex(where: { $0.number == number }) { batches[run].answers += ask.answers }
        }

        func places(_ now: NIODeadline) -> Int {
            guard let warmsSince, now < warmsSince + Self.warmUp else { return limit.value }
            let part = Double((now - warmsSince).nanoseconds) / Double(Self.warmUp.nanoseconds)
            return max(1, Int(Double(limit.value) * max(0.1, part)))
        }

        func hasRoom(_ now: NIODeadline) -> Bool {
            guard !isLeaving else { return false }
            switch health.admittance(now) {
            case .open: return inFlight < places(now)
            case .trial: return true
            case .closed: return false
            }
        }

        /// The part of its cache that must be free before a batch gets a place.
        private static let spareCache = 0.5

        /// Whether there is something left over, and of what kind it is: while others come, as much as they do not notice,
        /// and a quarter of the places at most.
        func spare(_ now: NIODeadline) -> BatchRun.Kind? {
            guard hasRoom(now), batches.count < mostOfBatches(now) else { return nil }
            if let load, load.waiting > 0 || load.cache > Self.spareCache { return nil }
            let idle = idlePlaces(now)
            // What one of them joined counts, until there is room for whatever it may be.
            if idle == mostOfBatches(now) || answers < idle { return .idle }
            return hasRoomBeside(now) ? .beside : nil
        }

        private func hasRoomBeside(_ now: NIODeadline) -> Bool {
            share.isOn(now) && now >= besideFrom && beside < mostBeside(now)
        }

        private var beside: Int { batches.count { $0.kind == .beside } }

        /// A request of a batch begins.
        mutating func beginBatch(_ ask: Ask, _ number: UInt64, _ now: NIODeadline, _ waiter: any Waiter) {
            var kind = ask.isDue ? BatchRun.Kind.due : spare(now) ?? .due
            // It would never end where somebody always comes before it does.
            if kind == .idle, ask.preemptions >= Self.patience, hasRoomBeside(now) { kind = .beside }
            if kind == .beside { share.began(now) }
            batches.append(BatchRun(number: number, kind: kind, start: now, answers: ask.answers, waiter: waiter))
        }

        /// So often a request of a batch makes room; then it stays.
        private static let patience = 3

        /// At the same time beside others. Where these are another gateway's, nobody here sees what they notice: then one.
        private func mostBeside(_ now: NIODeadline) -> Int {
            min(share.limit, mostOfShare(now), now - heardUntil < BatchShare.turn ? 1 : .max)
        }

        /// A quarter of the places, and none of an only one: whoever comes would have to wait for it.
        func mostOfShare(_ now: NIODeadline) -> Int {
            let places = places(now)
            return places > 1 ? max(1, places / 4) : 0
        }

        /// Others find a place at once.
        private func mostOfBatches(_ now: NIODeadline) -> Int { max(1, places(now) * 3 / 4) }

        /// What batches may take where nobody else is: the longer nobody was, the more, so that whoever comes finds little to
        /// be cleared away.
        private func idlePlaces(_ now: NIODeadline) -> Int {
            guard inFlight == batches.count else { return 0 }
            let seconds = Int((now - max(othersUntil, heardUntil)).nanoseconds / 1_000_000_000)
            guard seconds >= 1 else { return 0 }
            return min(1 << min(seconds - 1, 20), mostOfBatches(now))
        }

        /// How many requests may join one of a batch that has its place here.
        func roomToJoin(_ number: UInt64, _ now: NIODeadline) -> Int {
            guard let run = batches.first(where: { $0.number == number }), run.kind == .idle else { return 0 }
            let places = idlePlaces(now)
            return places == mostOfBatches(now) ? .max : max(0, places - answers)
        }

        /// Whether batches have as much as they get, and nobody else is there.
        func isFullOfBatches(_ now: NIODeadline) -> Bool {
            inFlight == batches.count && batches.count >= mostOfBatches(now)
        }

        func hasRoom(_ now: NIODeadline, for ask: Ask) -> Bool {
            ask.isBatch && !ask.isDue ? spare(now) != nil : hasRoom(now)
        }

        /// Somebody who is no batch has come: what began only because nobody was there goes, the youngest first.
        /// - Parameter needsRoom: whether there is none, so that nothing may stay.
        /// - Returns: whom to tell.
        mutating func preempt(_ now: NIODeadline, needsRoom: Bool = false) -> [(any Waiter, UInt64)] {
            guard !batches.isEmpty else { return [] }
            var left = needsRoom ? 0 : max(0, min(share.leeway, mostBeside(now)) - beside)
            var told: [(any Waiter, UInt64)] = []
            for index in batches.indices where batches[index].kind == .idle && !batches[index].isPreempted {
                if left > 0, batches[index].answers == 1 {
                    left -= 1
                    batches[index].kind = .beside
                    share.began(now)
                } else {
                    batches[index].isPreempted = true
                    told.append((batches[index].waiter, batches[index].number))
                }
            }
            return told
        }

        /// A batch's request has ended.
        mutating func endBatch(_ number: UInt64, _ now: NIODeadline) {
            guard let index = batches.firstIndex(where: { $0.number == number }) else { return }
            let run = batches.remove(at: index)
            if run.kind == .beside { besideFrom = now + share.pause(after: now - run.start) }
        }
    }
}
