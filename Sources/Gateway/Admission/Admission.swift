import NIOCore
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
        fileprivate(set) var cost: Int
        /// Answers that it works on.
        fileprivate(set) var answers: Int
        let isBatch: Bool
        /// A batch's own; 0 for anybody else's.
        let number: UInt64
        /// Whether it shows if a replica answers again.
        let isTrial: Bool
    }

    /// What a request asks for.
    struct Ask: Sendable {
        var deployment: Int
        let key: Int
        /// Tokens of the prompt and of the answer expected.
        let cost: Int
        /// How many answers it wants.
        var answers = 1
        /// 0 is served first.
        let level: Int
        /// Requests with the same beginning share a hash, and best a replica that has it in its cache; 0 for no beginning.
        let affinity: UInt64
        /// Whether it takes what the others leave, and waits behind all of them.
        var isBatch = false
        /// Whether it is a batch's that has waited for long enough to take any place.
        var isDue = false
        /// How often it had to give a place back.
        var preemptions = 0
        /// What it has in common with others.
        var joint: JointKey?
        /// Replicas that failed for this request already.
        var excluded: [Int] = []
    }

    /// Told when a request that waited gets its place; from any thread.
    protocol Waiter: AnyObject, Sendable {
        func granted(_ grant: Grant)
        /// Somebody has come who goes before a batch: the place with this number is to be given back.
        func preempted(_ number: UInt64)
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

    /// What became of a request at a replica.
    enum Outcome: Sendable {
        case success
        case failure
        /// It says nothing of the replica: the client went.
        case unknown
    }

    private struct Pool {
        var places: [Place] = []
        var queue = FairQueue<Waiting>(levels: Admission.levels)
        /// What batches wait with; nobody else waits for it.
        var batchQueue = FairQueue<Waiting>(levels: 1)
        /// Requests of others since a batch had a place that was not spare.
        var others = 0
        var retries = RetryBudget()
        /// Tokens of requests that ended, and when that was last brought up to date: how fast the queue goes.
        var rate = TokenRate()
    }

    private struct Waiting {
        let ask: Ask
        let waiter: any Waiter
    }

    private struct State {
        var pools: [Pool] = []
        var nextID: UInt64 = 1
        /// Whose places are needed by others, and not told yet.
        var preempted: [(any Waiter, UInt64)] = []
        var random = WordGenerator()
    }

    /// Classes of priority.
    static let levels = 3
    /// Where nothing is ever spare, a batch gets every so many-th place all the same, so that it ends; that makes the others
    /// wait a twentieth longer, at most.
    static let batchEvery = 20
    /// Requests that are passed over at a time because they may not go where there is room.
    private static let asideLimit = 16

    private let limits: GatewayLimits
    private let state = Mutex(State())
    private let clock: @Sendable () -> NIODeadline

    /// - Parameter clock: tells the time.
    init(limits: GatewayLimits, clock: @escaping @Sendable () -> NIODeadline = { .now() }) {
        self.limits = limits
        self.clock = clock
    }

    /// Sets the replicas of the versions; those that are known keep their requests.
    func configure(_ deployments: [[Replica]]) {
        let now = clock()
        change { state in
            while state.pools.count < deployments.count { state.pools.append(Pool()) }
            for (index, replicas) in deployments.enumerated() {
                for place in state.pools[index].places.indices {
                    let isKept = replicas.contains { $0 === state.pools[index].places[place].replica }
                    state.pools[index].places[place].isLeaving = !isKept
                }
                let isFirst = state.pools[index].places.isEmpty
                for replica in replicas where !state.pools[index].places.contains(where: { $0.replica === replica }) {
                    var place = Place(replica)
                    if !isFirst { place.warmsSince = now }
                    state.pools[index].places.append(place)
                }
                state.pools[index].places.removeAll { $0.isLeaving && $0.inFlight == 0 }
            }
            return state.pools.indices.flatMap { Self.drain(&state, $0, now) }
        }
    }

    /// Changes the state, and tells those whom it gives places or takes them from.
    private func change(_ body: (inout State) -> [(any Waiter, Grant)]) {
        for (waiter, grant) in telling(body) { waiter.granted(grant) }
    }

    /// Takes a place, or a number in the queue.
    /// - Parameter waiter: who is told later; asked for only when there is no place.
    func admit(_ ask: Ask, waiter: () -> any Waiter) -> Decision {
        let now = clock()
        var granted: [(any Waiter, Grant)] = []
        let decision: Decision = telling { state in
            let pool = ask.deployment
            guard state.pools[pool].places.contains(where: { !$0.isLeaving }) else { return .noReplica }
            if ask.preemptions == 0 { state.pools[pool].retries.requested() }
            let isFree =
                state.pools[pool].queue.count == 0 && (!ask.isBatch || state.pools[pool].batchQueue.count == 0)
            if isFree, let grant = Self.take(&state, ask, now, waiter) { return .granted(grant) }
            if !ask.isBatch {
                for index in state.pools[pool].places.indices where !state.pools[pool].places[index].isLeaving {
                    state.preempted += state.pools[pool].places[index].preempt(now, needsRoom: true)
                }
            }
            // All of them are known to be broken: who waits would wait for nothing. Not where a batch tries one, and gives way.
            guard
                state.pools[pool].places.contains(where: {
                    $0.health.admittance(now) != .closed
                        || $0.health.isBeingTried && $0.batches.contains(where: \.isPreempted)
                })
            else { return .noReplica }
            let waiting = ask.isBatch ? state.pools[pool].batchQueue.count : state.pools[pool].queue.count
            guard waiting < limits.queued else { return .full(waiting: waiting) }
            let id = state.nextID
            let entry = FairQueue.Entry(
                id: id, key: ask.key, cost: ask.cost, element: Waiting(ask: ask, waiter: waiter()))
            if ask.isBatch {
                state.pools[pool].batchQueue.append(entry, level: 0)
            } else {
                let own = state.pools[pool].queue.count(of: ask.key)
                guard own < limits.queuedPerKey else { return .fullForKey(waiting: own) }
                state.pools[pool].queue.append(entry, level: ask.level)
            }
            state.nextID += 1
            // What waits before it may have been able to take none of what is free.
            if !ask.isBatch { granted = Self.drain(&state, pool, now) }
            return .waiting(id)
        }
        for (waiter, grant) in granted { waiter.granted(grant) }
        return decision
    }

    /// Takes a place that is free now, if nobody waits for one.
    func takeNow(_ ask: Ask) -> Grant? {
        // A batch's is never asked twice.
        guard !ask.isBatch else { return nil }
        let now = clock()
        return telling { state in
            guard state.pools[ask.deployment].queue.count == 0 else { return nil }
            return Self.take(&state, ask, now) { Nobody() }
        }
    }

    private final class Nobody: Waiter {
        func granted(_ grant: Grant) {}
        func preempted(_ number: UInt64) {}
    }

    /// Changes the state, and tells those whose places it takes.
    private func telling<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        let (result, preempted) = state.withLock { state -> (Result, [(any Waiter, UInt64)]) in
            let result = body(&state)
            let preempted = state.preempted
            if !preempted.isEmpty { state.preempted = [] }
            return (result, preempted)
        }
        for (waiter, number) in preempted { waiter.preempted(number) }
        return result
    }

    /// What an answer took.
    struct Served {
        let start: NIODeadline
        let tokens: Int
    }

    /// Gives a place back when its answer has ended, and the next request its turn.
    /// - Parameter served: of an answer that was whole.
    func release(_ grant: Grant, _ outcome: Outcome, served: Served? = nil) {
        let now = clock()
        change { state in
            let pool = grant.deployment
            // How fast the others' queue goes.
            if !grant.isBatch { state.pools[pool].rate.add(grant.cost, now) }
            if let index = state.pools[pool].places.firstIndex(where: { $0.replica === grant.replica }) {
                state.pools[pool].places[index].inFlight -= 1
                state.pools[pool].places[index].answers -= grant.answers
                if grant.isBatch {
                    state.pools[pool].places[index].endBatch(grant.number, now)
                } else {
                    state.pools[pool].places[index].othersUntil = now
                    if let served {
                        let most = state.pools[pool].places[index].mostOfShare(now)
                        // Those that are due run in both turns.
                        let isAlone = state.pools[pool].places[index].batches.allSatisfy { $0.kind == .due }
                        let isBeside = state.pools[pool].places[index].batches.contains { $0.kind == .beside }
                        state.pools[pool].places[index].share.served(
                            from: served.start, to: now, tokens: served.tokens, isAlone: isAlone, isBeside: isBeside,
                            most: most)
                    }
                }
                state.pools[pool].places[index].tokens -= grant.cost
                switch outcome {
                case .success: state.pools[pool].places[index].health.succeeded()
                case .failure: state.pools[pool].places[index].health.failed(now)
                case .unknown: if grant.isTrial { state.pools[pool].places[index].health.leftOpen() }
                }
                if state.pools[pool].places[index].isLeaving, state.pools[pool].places[index].inFlight == 0 {
                    state.pools[pool].places.remove(at: index)
                }
            }
            return Self.drain(&state, pool, now)
        }
    }

    /// A replica that is tried has begun to answer, and well.
    func answered(_ grant: Grant) {
        let now = clock()
        change { state in
            let pool = grant.deployment
            guard let index = state.pools[pool].places.firstIndex(where: { $0.replica === grant.replica }) else {
                return []
            }
            state.pools[pool].places[index].health.answered()
            return Self.drain(&state, pool, now)
        }
    }

    /// Whether one more request of this version may be sent again.
    func mayRetry(_ deployment: Int) -> Bool {
        state.withLock { $0.pools[deployment].retries.take() }
    }

    /// Takes what a look at a replica from outside said.
    /// - Parameter load: what it says of itself, if it says anything.
    func probed(_ replica: Replica, isUp: Bool, load: ConcurrencyLimit.Load?) {
        let now = clock()
        change { state in
            for pool in state.pools.indices {
                guard let index = state.pools[pool].places.firstIndex(where: { $0.replica === replica }) else {
                    continue
                }
                state.pools[pool].places[index].health.probed(isUp: isUp)
                let (inFlight, answers) = (
                    state.pools[pool].places[index].inFlight, state.pools[pool].places[index].answers
                )
                state.pools[pool].places[index].load = load
                if let load {
                    state.pools[pool].places[index].limit.update(load, inFlight: inFlight, answers: answers)
                }
                return Self.drain(&state, pool, now)
            }
            return []
        }
    }

    /// The addresses of replicas that work for this gateway's clients other than batches, did a moment ago, or are waited for.
    func busyReplicas() -> [String] {
        let now = clock()
        return state.withLock { state in
            state.pools.flatMap { pool in
                pool.places.filter {
                    pool.queue.count > 0 || $0.inFlight > $0.batches.count || now - $0.othersUntil < Self.moment
                }.map(\.replica.address)
            }
        }
    }

    /// As long as others count as there that have just gone.
    private static let moment = TimeAmount.milliseconds(500)

    /// Takes that other gateways have others than batches answered by these replicas.
    /// - Parameter addresses: of the replicas.
    func othersWork(for addresses: Set<String>) {
        guard !addresses.isEmpty else { return }
        let now = clock()
        telling { state in
            for pool in state.pools.indices {
                for index in state.pools[pool].places.indices
                where addresses.contains(state.pools[pool].places[index].replica.address) {
                    state.pools[pool].places[index].heardUntil = now
                    state.preempted += state.pools[pool].places[index].preempt(now)
                    // So that a batch is due some time here too.
                    if state.pools[pool].places[index].batches.isEmpty { state.pools[pool].others += 1 }
                }
            }
        }
    }

    /// Lets those that wait go on where time alone has made room: a rest that is over, a replica that has warmed up.
    func tick() {
        let now = clock()
        change { state in
            state.pools.indices.flatMap { Self.drain(&state, $0, now) }
        }
    }

    /// Seconds after which what waits now will have been served, as far as one can tell.
    func wait(of deployment: Int) -> Int {
        let now = clock()
        return state.withLock { state in
            let seconds =
                Double(state.pools[deployment].queue.cost) / max(1, state.pools[deployment].rate.perSecond(now))
            return min(60, max(1, Int(seconds.rounded(.up))))
        }
    }

    /// Leaves the queue.
    /// - Returns: false when a place was given meanwhile: its grant is on its way and must be released.
    func leave(_ id: UInt64, _ ask: Ask) -> Bool {
        state.withLock { state in
            ask.isBatch
                ? state.pools[ask.deployment].batchQueue.remove(id: id, key: ask.key, level: 0) != nil
                : state.pools[ask.deployment].queue.remove(id: id, key: ask.key, level: ask.level) != nil
        }
    }

    /// Takes requests out of the queue that can share a place with one that has one.
    /// - Parameters:
    ///   - ask: of the one that has a place: only requests of its key and class are looked at.
    ///   - limit: requests at most.
    ///   - tokens: of all of them at most.
    ///   - grant: the place, charged with what they take; nil where they take nothing.
    func gather(
        _ ask: Ask, limit: Int, tokens: Int, charging grant: inout Grant?, _ isWanted: @Sendable (JointKey) -> Bool
    ) -> [any Waiter] {
        let now = clock()
        let (waiters, charged) = state.withLock { [grant] state in
            @Sendable func fits(_ waiting: Waiting) -> Bool { waiting.ask.joint.map(isWanted) ?? false }
            let index = grant.flatMap { grant in
                state.pools[ask.deployment].places.firstIndex { $0.replica === grant.replica }
            }
            var limit = limit
            // What a batch joins takes as much as if each were asked alone.
            if ask.isBatch, let index, let number = grant?.number {
                limit = min(limit, state.pools[ask.deployment].places[index].roomToJoin(number, now))
            }
            let taken =
                ask.isBatch
                ? state.pools[ask.deployment].batchQueue.take(
                    key: ask.key, level: 0, limit: limit, cost: tokens, where: fits)
                : state.pools[ask.deployment].queue.take(
                    key: ask.key, level: ask.level, limit: limit, cost: tokens, where: fits)
            var grant = grant
            if let index {
                for entry in taken {
                    grant?.cost += entry.cost
                    grant?.answers += entry.element.ask.answers
                    state.pools[ask.deployment].places[index].join(entry.element.ask, to: grant?.number)
                }
            }
            return (taken.map(\.element.waiter), grant)
        }
        grant = charged
        return waiters
    }

    /// Whether anything waits for a version.
    func isWaiting(_ deployment: Int) -> Bool {
        let now = clock()
        return state.withLock { state in
            let pool = state.pools[deployment]
            // Batches that wait for others to leave something over say nothing of what the replicas could do.
            return pool.queue.count > 0 || pool.batchQueue.count > 0 && pool.places.contains { $0.isFullOfBatches(now) }
        }
    }

    /// What there is of one version.
    struct Load {
        /// Requests that have a place, and those that wait for one, batches aside.
        var inFlight: Int
        var waiting: Int
        var places: Int
        /// Requests of batches that wait.
        var batchesWaiting: Int
        /// Of batches beside others, on average: as many as these do not notice.
        var batchShare: Double
    }

    func load(of deployment: Int) -> Load {
        let now = clock()
        return state.withLock { state in
            let pool = state.pools[deployment]
            let places = pool.places.filter { !$0.isLeaving }
            return Load(
                inFlight: pool.places.reduce(0) { $0 + $1.inFlight }, waiting: pool.queue.count,
                places: places.reduce(0) { $0 + $1.places(now) }, batchesWaiting: pool.batchQueue.count,
                batchShare: places.reduce(0) { $0 + $1.share.value })
        }
    }

    /// Whether any replica of the version may be asked now.
    func isUsable(_ deployment: Int) -> Bool {
        let now = clock()
        return state.withLock { state in
            state.pools[deployment].places.contains { !$0.isLeaving && $0.health.admittance(now) != .closed }
        }
    }

    /// Versions that were configured once.
    var deploymentCount: Int { state.withLock { $0.pools.count } }

    private static func drain(_ state: inout State, _ pool: Int, _ now: NIODeadline) -> [(any Waiter, Grant)] {
        // Nothing waits, nearly always.
        guard state.pools[pool].queue.count + state.pools[pool].batchQueue.count > 0 else { return [] }
        var granted: [(any Waiter, Grant)] = []
        if state.pools[pool].others >= Self.batchEvery, state.pools[pool].batchQueue.count > 0,
            state.pools[pool].places.contains(where: { $0.hasRoom(now) }),
            let entry = state.pools[pool].batchQueue.next()
        {
            var ask = entry.element.ask
            ask.isDue = true
            if let grant = take(&state, ask, now, { entry.element.waiter }) {
                state.pools[pool].others = 0
                granted.append((entry.element.waiter, grant))
            } else {
                state.pools[pool].batchQueue.append(entry, level: 0)
            }
        }
        // What is free failed for some of them before: that is no reason for the others to wait.
        var aside: [FairQueue<Waiting>.Entry] = []
        while state.pools[pool].queue.count > 0, aside.count < Self.asideLimit,
            state.pools[pool].places.contains(where: { $0.hasRoom(now) }), let entry = state.pools[pool].queue.next()
        {
            guard let grant = take(&state, entry.element.ask, now, { entry.element.waiter }) else {
                aside.append(entry)
                continue
            }
            granted.append((entry.element.waiter, grant))
        }
        for entry in aside.reversed() { state.pools[pool].queue.putBack(entry, level: entry.element.ask.level) }
        while state.pools[pool].queue.count == 0, state.pools[pool].batchQueue.count > 0,
            state.pools[pool].places.contains(where: { $0.spare(now) != nil }),
            let entry = state.pools[pool].batchQueue.next()
        {
            guard let grant = take(&state, entry.element.ask, now, { entry.element.waiter }) else {
                state.pools[pool].batchQueue.append(entry, level: 0)
                break
            }
            granted.append((entry.element.waiter, grant))
        }
        return granted
    }

    /// Takes a place, if one is free.
    /// - Parameter waiter: of a batch, who is told when the place is needed by others.
    private static func take(
        _ state: inout State, _ ask: Ask, _ now: NIODeadline, _ waiter: () -> any Waiter
    ) -> Grant? {
        let pool = ask.deployment
        guard let chosen = choose(in: state.pools[pool].places, ask, now, &state.random) else { return nil }
        var number: UInt64 = 0
        if ask.isBatch {
            number = state.nextID
            state.nextID += 1
            state.pools[pool].places[chosen].beginBatch(ask, number, now, waiter())
        } else {
            state.pools[pool].others += 1
            state.pools[pool].places[chosen].othersUntil = now
            let told = state.pools[pool].places[chosen].preempt(now)
            if !told.isEmpty { state.preempted += told }
        }
        state.pools[pool].places[chosen].inFlight += 1
        state.pools[pool].places[chosen].charge(ask.cost, answers: ask.answers)
        let isTrial = state.pools[pool].places[chosen].health.admittance(now) == .trial
        if isTrial { state.pools[pool].places[chosen].health.tried() }
        return Grant(
            replica: state.pools[pool].places[chosen].replica, deployment: pool, cost: ask.cost, answers: ask.answers,
            isBatch: ask.isBatch, number: number, isTrial: isTrial)
    }
}
