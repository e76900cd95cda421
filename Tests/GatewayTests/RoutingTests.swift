import NIOCore
import Synchronization
import Testing

@testable import Gateway

@Suite struct RoutingTests {
    private static func moment(_ seconds: Double) -> NIODeadline { .uptimeNanoseconds(UInt64(seconds * 1e9)) }

    @Test func aReplicaThatFailsRestsAndIsTriedWithOneRequest() {
        var health = ReplicaHealth()
        for _ in 0..<ReplicaHealth.failureLimit - 1 { health.failed(Self.moment(1)) }
        #expect(health.admittance(Self.moment(1)) == .open)
        health.failed(Self.moment(1))
        #expect(health.admittance(Self.moment(1.9)) == .closed)
        #expect(health.admittance(Self.moment(2)) == .trial)
        health.tried()
        #expect(health.admittance(Self.moment(2)) == .closed)
        // One failure is enough now, and the rest is twice as long.
        health.failed(Self.moment(2))
        #expect(health.admittance(Self.moment(3.9)) == .closed && health.admittance(Self.moment(4)) == .trial)
        health.tried()
        health.leftOpen()
        #expect(health.admittance(Self.moment(4)) == .trial)
        health.tried()
        health.succeeded()
        #expect(health.admittance(Self.moment(4)) == .open)
    }

    @Test func aTrialThatHasBegunToAnswerOpensIt() {
        var health = ReplicaHealth()
        for _ in 0..<ReplicaHealth.failureLimit { health.failed(Self.moment(1)) }
        health.tried()
        health.answered()
        #expect(health.admittance(Self.moment(2)) == .open)
        // It broke off all the same, and rests for longer than the first time.
        health.failed(Self.moment(5))
        #expect(health.admittance(Self.moment(6.9)) == .closed && health.admittance(Self.moment(7)) == .trial)
    }

    @Test func aSuccessBetweenFailuresForgivesThem() {
        var health = ReplicaHealth()
        for _ in 0..<20 {
            health.failed(Self.moment(1))
            health.failed(Self.moment(1))
            health.succeeded()
        }
        #expect(health.admittance(Self.moment(1)) == .open)
    }

    @Test func restsAreBoundedAndProbesCloseAtOnce() {
        var health = ReplicaHealth()
        var now = 1.0
        for _ in 0..<40 {
            for _ in 0..<ReplicaHealth.failureLimit { health.failed(Self.moment(now)) }
            now += 31
        }
        #expect(health.admittance(Self.moment(now)) == .trial)
        health.succeeded()
        health.probed(isUp: false)
        #expect(health.admittance(Self.moment(now)) == .closed)
        health.probed(isUp: true)
        #expect(health.admittance(Self.moment(now)) == .open)
    }

    @Test func theLimitFollowsWhatTheServerSays() {
        func load(
            _ waiting: Double, _ cache: Double = 0.5, _ preemptions: Double = 0, running: Double = 32
        ) -> ConcurrencyLimit.Load {
            ConcurrencyLimit.Load(running: running, waiting: waiting, cache: cache, preemptions: preemptions)
        }
        var limit = ConcurrencyLimit(ceiling: 64)
        // What waits for a moment is how an engine works; what always waits is too much.
        for waiting in [60, 60, 60, 0, 60, 60, 60.0] { limit.update(load(waiting), inFlight: 64) }
        #expect(limit.value == 64)
        for _ in 0..<2 { limit.update(load(60), inFlight: 64) }
        #expect(limit.value == 44)
        // It is not reached, so nothing is known of it.
        limit.update(load(0), inFlight: 10)
        #expect(limit.value == 44)
        limit.update(load(0), inFlight: 44)
        #expect(limit.value == 46)
        for _ in 0..<50 { limit.update(load(0), inFlight: limit.value) }
        #expect(limit.value == 64)
        limit.update(load(0, 0.99), inFlight: 64)
        #expect(limit.value == 44)
        limit.update(load(0, 0.5, 3), inFlight: 44)
        #expect(limit.value == 30)
        limit.update(load(0, 0.5, 3), inFlight: 30)
        #expect(limit.value == 31)
        for _ in 0..<150 { limit.update(load(Double(limit.value), running: 0), inFlight: limit.value) }
        #expect(limit.value <= 2)
        // An engine that is free again is used again within seconds.
        for _ in 0..<11 { limit.update(load(0, 0.1), inFlight: limit.value) }
        #expect(limit.value == 64)
        // Others ask too much of it, while nothing is asked here.
        limit.update(load(0, 0.99), inFlight: 1)
        limit.update(load(0, 0.5, 4), inFlight: 0)
        for inFlight in [8, 8, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0] { limit.update(load(100), inFlight: inFlight) }
        #expect(limit.value == 64)
        // Whoever comes into that gives way, after as long as everybody.
        for _ in 0..<4 { limit.update(load(100), inFlight: 64) }
        #expect(limit.value == 64)
        limit.update(load(100), inFlight: 64)
        #expect(limit.value == 44)
        // A few with many answers each are no less than many; and a few of a few that fill its cache are not others.
        for _ in 0..<5 { limit.update(load(100), inFlight: 8, answers: 128) }
        #expect(limit.value == 5)
        limit.update(load(0, 0.99), inFlight: 2)
        #expect(limit.value == 3)
    }

    /// An engine has as much behind what it works on: where all of that ends at once there are others in its place.
    @Test func theLimitStaysALittleAboveWhatAnEngineWorksOn() {
        var limit = ConcurrencyLimit(ceiling: 512)
        for _ in 0..<60 {
            let running = min(128, limit.value)
            limit.update(
                .init(running: Double(running), waiting: Double(limit.value - running), cache: 0.6, preemptions: 0),
                inFlight: limit.value)
        }
        var values: [Int] = []
        for _ in 0..<60 {
            let running = min(128, limit.value)
            limit.update(
                .init(running: Double(running), waiting: Double(limit.value - running), cache: 0.6, preemptions: 0),
                inFlight: limit.value)
            values.append(limit.value)
        }
        #expect(values.allSatisfy { (245...275).contains($0) }, "\(values)")
    }

    /// Long answers are still there when the limit has shrunk: nothing new is known before they have ended.
    @Test(arguments: [0.6, 1.0]) func theLimitWaitsForWhatItHasDone(cache: Double) {
        var limit = ConcurrencyLimit(ceiling: 256)
        for _ in 0..<60 {
            limit.update(.init(running: 100, waiting: 156, cache: cache, preemptions: 0), inFlight: 256)
        }
        #expect(limit.value == (cache < 1 ? 228 : 179))
        for inFlight in stride(from: 255, to: limit.value, by: -1) {
            limit.update(
                .init(running: 100, waiting: Double(inFlight - 100), cache: cache, preemptions: 0), inFlight: inFlight)
        }
        #expect(limit.value == (cache < 1 ? 228 : 179))
        // Now it is as it was meant to be, and still too much.
        for _ in 0..<ConcurrencyLimit.looks {
            limit.update(
                .init(running: 100, waiting: Double(limit.value - 100), cache: cache, preemptions: 0),
                inFlight: limit.value)
        }
        #expect(limit.value < (cache < 1 ? 228 : 179))
    }

    /// A burst that filled the cache may be over when it is seen.
    @Test func theLimitDoesNotFallBelowABurst() {
        func load(_ preemptions: Double) -> ConcurrencyLimit.Load {
            .init(running: 0, waiting: 0, cache: 0.5, preemptions: preemptions)
        }
        var limit = ConcurrencyLimit(ceiling: 64)
        limit.update(load(0), inFlight: 60)
        limit.update(load(1), inFlight: 2)
        #expect(limit.value == 42)
        limit.update(load(2), inFlight: 0)
        #expect(limit.value == 42)
    }

    /// Two turns of answers, so much slower beside a batch; what batches may have afterwards.
    private static func turns(_ share: inout BatchShare, from start: inout Double, slowdown: Double, count: Int = 20) {
        for turn in 0..<2 {
            for index in 0..<count {
                let begin = start + Double(turn * 10) + Double(index) * 8 / Double(count)
                let seconds = 0.5 * (turn == 1 ? slowdown : 1)
                if turn == 1 { share.began(moment(begin)) }
                share.served(
                    from: moment(begin), to: moment(begin + seconds), tokens: 10, isAlone: turn == 0, isBeside: false,
                    most: 16)
            }
        }
        start += 20
    }

    /// The first words for the seed 1, 2, 3, 4, as the authors' own program prints them.
    @Test func wordsAreTheAlgorithms() {
        var generator = WordGenerator(seed: (1, 2, 3, 4))
        #expect((0..<4).map { _ in generator.next() } == [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240])
        var (one, other) = (WordGenerator(), WordGenerator())
        #expect(one.next() != other.next())
    }

    @Test func batchesGetWhatNobodyNotices() {
        var share = BatchShare()
        var now = 100.0
        #expect(!share.isOn(Self.moment(105)) && share.isOn(Self.moment(115)))
        // At first one for a quarter of the time; none stays when somebody comes.
        #expect(share.limit == 1 && share.leeway == 0 && share.pause(after: .seconds(2)) == .seconds(6))
        for _ in 0..<3 { Self.turns(&share, from: &now, slowdown: 1.01) }
        #expect(share.limit == 1 && share.leeway == 1 && share.pause(after: .seconds(2)) == .zero)
        for _ in 0..<5 { Self.turns(&share, from: &now, slowdown: 1.01) }
        #expect(share.limit == 16 && share.leeway == 16)
        Self.turns(&share, from: &now, slowdown: 1.3)
        Self.turns(&share, from: &now, slowdown: 1.3)
        #expect(share.limit == 8)
        // Few answers say nothing.
        for _ in 0..<2 { Self.turns(&share, from: &now, slowdown: 3, count: 2) }
        #expect(share.limit == 4)
        for _ in 0..<6 { Self.turns(&share, from: &now, slowdown: 1.3) }
        #expect(share.limit == 1 && share.pause(after: .seconds(2)) == .seconds(14))
        #expect(share.isOn(Self.moment(now + 15)))
        for _ in 0..<2 { Self.turns(&share, from: &now, slowdown: 1.3) }
        // Not even that is borne: it rests, longer each time.
        #expect(!share.isOn(Self.moment(now + 15)))
        #expect(share.isOn(Self.moment(now + 2_015)) || share.isOn(Self.moment(now + 2_005)))
    }

    @Test func whatFewAnswersSayOfBatchesIsAddedUp() {
        var share = BatchShare()
        var now = 100.0
        let quarter = share.value
        // A first answer that concludes nothing of what came before.
        func seen(_ slowdown: Double, _ pairs: Int) -> Double {
            for _ in 0..<pairs { Self.turns(&share, from: &now, slowdown: slowdown, count: 7) }
            var looked = share
            Self.turns(&looked, from: &now, slowdown: slowdown, count: 1)
            return looked.value
        }
        #expect(seen(1.01, 2) == quarter && seen(1.01, 1) == quarter * 2)
        #expect(seen(1.06, 1) == quarter * 2)
        #expect(seen(1.3, 1) == quarter)
    }

    /// What a pair of turns has more of the one kind than of the other, and what is hours old, says nothing.
    @Test func whatTurnsSayOfBatchesIsComparedInPairs() {
        var share = BatchShare()
        var now = 100.0
        /// Answers with and without batches, all of them as fast.
        func pair(alone: Int, beside: Int, seconds: Double) {
            for (turn, count) in [alone, beside].enumerated() {
                for index in 0..<count {
                    let begin = now + Double(turn * 10) + Double(index) * 8 / Double(count)
                    if turn == 1 { share.began(Self.moment(begin)) }
                    share.served(
                        from: Self.moment(begin), to: Self.moment(begin + seconds), tokens: 10, isAlone: turn == 0,
                        isBeside: false, most: 16)
                }
            }
            now += 20
        }
        let quarter = share.value
        pair(alone: 16, beside: 5, seconds: 0.2)
        for _ in 0..<4 { pair(alone: 4, beside: 16, seconds: 0.4) }
        pair(alone: 1, beside: 0, seconds: 0.2)
        #expect(share.value == quarter * 2)
        pair(alone: 12, beside: 12, seconds: 0.2)
        now += 3_600
        pair(alone: 12, beside: 12, seconds: 0.2)
        pair(alone: 1, beside: 0, seconds: 0.2)
        #expect(share.value == quarter * 2)
    }

    /// Answers that vary by a fifth, whatever batches do: chance stops nothing for long.
    @Test func chanceIsNotASlowdown() {
        var share = BatchShare()
        var random = WordGenerator(seed: (1, 2, 3, 4))
        var (now, sum) = (100.0, 0.0)
        for _ in 0..<400 {
            for turn in 0..<2 {
                for index in 0..<10 {
                    let begin = now + Double(turn * 10) + Double(index) * 0.8
                    if turn == 1 { share.began(Self.moment(begin)) }
                    let seconds = 0.5 * Double.random(in: 0.8...1.2, using: &random)
                    share.served(
                        from: Self.moment(begin), to: Self.moment(begin + seconds), tokens: 10, isAlone: turn == 0,
                        isBeside: false, most: 16)
                }
            }
            now += 20
            sum += share.value
        }
        #expect(sum / 400 > 1, "\(sum / 400)")
    }

    @Test func vLLMsMetricsAreRead() throws {
        let text = """
            # HELP vllm:num_requests_waiting Number of requests waiting to be processed.
            # TYPE vllm:num_requests_waiting gauge
            vllm:num_requests_running{engine="0",model_name="m"} 5.0
            vllm:num_requests_running{engine="1",model_name="m"} 6.0
            vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
            vllm:num_requests_waiting{engine="1",model_name="m"} 4.0
            vllm:num_requests_waiting_by_reason{engine="0"} 9.0
            vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
            vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
            vllm:num_preemptions_total{engine="0",model_name="m"} 2.0
            """
        let load = try #require(ConcurrencyLimit.Load(prometheus: Array(text.utf8)))
        #expect(load == ConcurrencyLimit.Load(running: 11, waiting: 7, cache: 0.5, preemptions: 2))
        #expect(ConcurrencyLimit.Load(prometheus: Array("other 1\n{}".utf8)) == nil)
    }

    @Test func retriesAreAPartOfTheRequests() {
        var budget = RetryBudget()
        var sent = 0
        while budget.take() { sent += 1 }
        #expect(sent == 20)
        for _ in 0..<1_000 {
            budget.requested()
            if budget.take() { sent += 1 }
        }
        #expect((215...221).contains(sent), "\(sent)")
    }

    @Test func theRateIsAnAverageOverSeconds() {
        var rate = TokenRate()
        #expect(rate.perSecond(Self.moment(1)) == 0)
        for step in 0..<600 { rate.add(10, Self.moment(1 + Double(step) / 10)) }
        #expect(abs(rate.perSecond(Self.moment(61)) - 100) < 5)
        #expect(rate.perSecond(Self.moment(161)) < 0.1)
    }

    private static func configuration(
        _ version: String, aliases: [String] = [], port: Int, model: String = "m", since: Int64 = 0, limit: Int = 8
    ) -> ReplicaConfiguration {
        var replica = ReplicaConfiguration(
            model: model, version: version, aliases: aliases, host: "h", port: port, servedName: "s",
            maximumInFlight: limit)
        replica.since = since
        return replica
    }

    @Test func namesMeanVersions() {
        let replicas = [
            Self.configuration("1", aliases: ["champion"], port: 1, since: 5),
            Self.configuration("2", aliases: ["champion", "challenger"], port: 2, since: 9),
            Self.configuration("7", port: 3, model: "other"),
        ]
        let table = ModelTable(replicas)
        #expect(table.deployment(named: "m")?.version == "2" && table.deployment(named: "m:1")?.version == "1")
        #expect(table.deployment(named: "m@champion")?.version == "2")
        #expect(table.deployment(named: "m@challenger")?.version == "2" && table.deployment(named: "m:3") == nil)
        #expect(table.deployment(named: "other")?.version == "7" && table.deployment(named: "") == nil)
        // Numbers stay when a version goes and comes back.
        let later = ModelTable([replicas[0]], known: table)
        #expect(later.deployment(named: "m:1")?.id == table.deployment(named: "m:1")?.id)
        #expect(later.deployment(named: "m")?.version == "1" && later.deployment(named: "m@challenger") == nil)
        // It is known, and no model of those that can be asked.
        #expect(later.deployment(named: "m:2")?.version == "2" && later.names["m:2"] == nil)
    }

    /// A model server that starts again leaves nobody a model that was not meant to answer, nor one that is not there.
    @Test func theChampionIsItUntilAnotherIs() {
        let champion = Self.configuration("1", aliases: ["champion"], port: 1)
        let challenger = Self.configuration("2", aliases: ["challenger"], port: 2)
        let table = ModelTable([champion, challenger])
        for left in [[challenger], [], [Self.configuration("2", aliases: [], port: 2)]] {
            let later = ModelTable(left, known: table)
            for name in ["m", "m@champion", "m:1"] {
                #expect(later.deployment(named: name)?.version == "1", "\(name) of \(left)")
            }
            #expect(later.deployment(named: "m@challenger")?.version == (left == [challenger] ? "2" : nil))
            let back = ModelTable([Self.configuration("3", aliases: ["champion"], port: 3)], known: later)
            #expect(back.deployment(named: "m")?.version == "3" && back.deployment(named: "m@champion")?.version == "3")
        }
        // Nor is one on trial the champion where none has been seen.
        #expect(ModelTable([challenger]).deployment(named: "m") == nil)
        #expect(ModelTable([challenger]).deployment(named: "m:2")?.version == "2")
        // Without a champion the first one is meant, as it is written down, also while it is away.
        let plain = ModelTable([Self.configuration("7", port: 1), Self.configuration("8", port: 2)])
        #expect(plain.deployment(named: "m")?.version == "7" && plain.deployment(named: "m@champion") == nil)
        #expect(ModelTable([], known: plain).deployment(named: "m")?.version == "7")
    }

    private final class Waiter: Admission.Waiter {
        func granted(_ grant: Admission.Grant) {}
        func preempted(_ number: UInt64) {}
    }

    private static func ask(_ affinity: UInt64 = 0, cost: Int = 100, excluded: [Int] = []) -> Admission.Ask {
        Admission.Ask(deployment: 0, key: 0, cost: cost, level: 1, affinity: affinity, excluded: excluded)
    }

    /// A place, if there is one; nobody stays to wait for it.
    private static func take(_ admission: Admission, _ ask: Admission.Ask) -> Admission.Grant? {
        switch admission.admit(ask, waiter: { Waiter() }) {
        case .granted(let grant): return grant
        case .waiting(let id): _ = admission.leave(id, ask)
        case .full, .fullForKey, .noReplica: break
        }
        return nil
    }

    /// Stands still until it is set.
    private final class Clock: Sendable {
        private let seconds: Mutex<Double>
        init(_ seconds: Double) { self.seconds = Mutex(seconds) }
        var now: NIODeadline { moment(seconds.withLock { $0 }) }
        func set(_ time: Double) { seconds.withLock { $0 = time } }
    }

    private static func admission(
        _ count: Int, limit: Int = 1_000, clock: Clock? = nil
    ) -> (Admission, [Replica]) {
        let replicas = (0..<count).map { Replica(configuration("1", port: $0 + 1, limit: limit), id: $0) }
        let admission =
            clock.map { clock in Admission(limits: GatewayLimits()) { clock.now } }
            ?? Admission(limits: GatewayLimits())
        admission.configure([replicas])
        return (admission, replicas)
    }

    @Test func requestsThatBeginAlikeGoToOneReplicaUntilItIsLoaded() {
        let (admission, _) = Self.admission(4)
        var seen: Set<Int> = []
        for _ in 0..<20 {
            guard let grant = Self.take(admission, Self.ask(7)) else {
                Issue.record("no place")
                return
            }
            seen.insert(grant.replica.id)
            admission.release(grant, .success)
        }
        #expect(seen.count == 1)
        // None is ended: the load spreads.
        for _ in 0..<40 { if let grant = Self.take(admission, Self.ask(7)) { seen.insert(grant.replica.id) } }
        #expect(seen.count == 4)
        // Other beginnings have other replicas.
        var spread: [Int: Int] = [:]
        let (other, _) = Self.admission(4)
        for index in 0..<400 {
            guard let grant = Self.take(other, Self.ask(Hash.of("\(index)".utf8))) else { continue }
            spread[grant.replica.id, default: 0] += 1
            other.release(grant, .success)
        }
        #expect(spread.count == 4 && spread.values.allSatisfy { $0 > 50 }, "\(spread)")
    }

    @Test func theLoadIsEvenWithoutAffinity() {
        let (admission, _) = Self.admission(4)
        var spread: [Int: Int] = [:]
        for index in 0..<400 {
            guard let grant = Self.take(admission, Self.ask(cost: 1 + index % 50 * 20)) else { continue }
            spread[grant.replica.id, default: 0] += grant.cost
        }
        let mean = Double(spread.values.reduce(0, +)) / 4
        #expect(spread.values.allSatisfy { abs(Double($0) - mean) < mean * 0.1 }, "\(spread)")
    }

    @Test func aBrokenReplicaIsPassedOver() {
        let (admission, replicas) = Self.admission(2)
        for _ in 0..<ReplicaHealth.failureLimit {
            guard let grant = Self.take(admission, Self.ask(excluded: [1])) else {
                Issue.record("no place")
                return
            }
            #expect(grant.replica.id == 0)
            admission.release(grant, .failure)
        }
        for _ in 0..<20 { #expect(Self.take(admission, Self.ask())?.replica.id == 1) }
        admission.probed(replicas[1], isUp: false, load: nil)
        guard case .noReplica = admission.admit(Self.ask(), waiter: { Waiter() }) else {
            Issue.record("all are broken")
            return
        }
    }

    /// One that failed at the replica that is free waits for the other one, and nobody else has to.
    @Test func whoMayNotGoWhereThereIsRoomIsPassedOver() {
        let (admission, _) = Self.admission(2)
        // The second one is full.
        var held: [Admission.Grant] = []
        while case .granted(let grant) = admission.admit(Self.ask(excluded: [0]), waiter: { Waiter() }) {
            held.append(grant)
        }
        #expect(held.allSatisfy { $0.replica.id == 1 })
        // What was asked in vain waits already, with two more of its class.
        for _ in 0..<2 {
            guard case .waiting = admission.admit(Self.ask(excluded: [0]), waiter: { Waiter() }) else {
                Issue.record("it waits")
                return
            }
        }
        for level in [2, 1, 0] {
            let told = GrantedWaiter()
            let ask = Admission.Ask(deployment: 0, key: 5, cost: 100, level: level, affinity: 0)
            guard case .waiting = admission.admit(ask, waiter: { told }) else {
                Issue.record("it comes behind them")
                return
            }
            #expect(told.grants.map(\.replica.id) == [0], "level \(level)")
        }
        #expect(admission.load(of: 0).waiting == 3)
        // They have kept their turns.
        for grant in held.prefix(3) { admission.release(grant, .success) }
        #expect(admission.load(of: 0).waiting == 0)
    }

    private final class GrantedWaiter: Admission.Waiter {
        private let state = Mutex<[Admission.Grant]>([])
        var grants: [Admission.Grant] { state.withLock { $0 } }
        func granted(_ grant: Admission.Grant) { state.withLock { $0.append(grant) } }
        func preempted(_ number: UInt64) {}
    }

    @Test func whoLeavesTheConfigurationEndsWhatItHas() {
        let (admission, replicas) = Self.admission(2)
        guard let grant = Self.take(admission, Self.ask(excluded: [1])) else {
            Issue.record("no place")
            return
        }
        admission.configure([[replicas[1]]])
        for _ in 0..<10 { #expect(Self.take(admission, Self.ask())?.replica.id == 1) }
        #expect(admission.load(of: 0).inFlight == 11)
        admission.release(grant, .success)
        #expect(admission.load(of: 0).inFlight == 10)
    }

    private static func batchAsk() -> Admission.Ask {
        Admission.Ask(deployment: 0, key: 9, cost: 100, level: 1, affinity: 0, isBatch: true)
    }

    /// Keeps the places given to those that waited, and the numbers of those taken back.
    private final class CountingWaiter: Admission.Waiter {
        let grants = Mutex<[Admission.Grant]>([])
        let numbers = Mutex<[UInt64]>([])
        func granted(_ grant: Admission.Grant) { grants.withLock { $0.append(grant) } }
        func preempted(_ number: UInt64) { numbers.withLock { $0.append(number) } }
        var count: Int { grants.withLock { $0.count } }
        var preempted: [UInt64] { numbers.withLock { $0 } }
    }

    private static func load(waiting: Double = 0, cache: Double = 0.1) -> ConcurrencyLimit.Load {
        ConcurrencyLimit.Load(running: 0, waiting: waiting, cache: cache, preemptions: 0)
    }

    /// No turn of the batches' beside others.
    private static let others = 105.0
    private static let batches = 115.0

    @Test func batchesMakeRoomForWhoeverComes() {
        let (admission, _) = Self.admission(1, limit: 16, clock: Clock(Self.others))
        let waiter = CountingWaiter()
        var held: [Admission.Grant] = []
        while case .granted(let grant) = admission.admit(Self.batchAsk(), waiter: { waiter }) { held.append(grant) }
        #expect(held.count == 12 && waiter.preempted.isEmpty)
        let first = Self.take(admission, Self.ask())
        #expect(first != nil && waiter.preempted == held.map(\.number))
        // Each is told once.
        #expect(Self.take(admission, Self.ask()) != nil && waiter.preempted.count == 12)
        for grant in held { admission.release(grant, .unknown) }
        #expect(waiter.count == 0 && admission.load(of: 0).inFlight == 2)
    }

    @Test func theLongerNobodyComesTheMoreBatchesGet() {
        let clock = Clock(Self.others)
        let (admission, _) = Self.admission(1, limit: 16, clock: clock)
        let other = Self.take(admission, Self.ask())
        #expect(Self.take(admission, Self.batchAsk()) == nil)
        if let other { admission.release(other, .success) }
        var all = 0
        for (seconds, count) in [(0.5, 0), (1.0, 1), (2.0, 1), (3.0, 2), (4.5, 4), (4.9, 0)] {
            clock.set(Self.others + seconds)
            var taken = 0
            while Self.take(admission, Self.batchAsk()) != nil { taken += 1 }
            #expect(taken == count, "\(taken) after \(seconds) s")
            all += taken
        }
        #expect(all == 8)
    }

    @Test func batchesJoinOthersOfTheirsOnlyWhereNobodyElseIs() throws {
        let body = #"{"model":"m","prompt":"x","max_tokens":4}"#
        let inspection = try Array(body.utf8).withUnsafeBytes { try BodyInspection($0, maximumDepth: 8) }
        var ask = Self.batchAsk()
        ask.joint = JointKey(
            .completions, inspection, ByteBuffer(string: body), deployment: 0, key: 9, loop: 7, isBatch: true,
            isJoining: true)
        #expect(ask.joint != nil)
        for (isAlone, joined) in [(false, 0), (true, 15)] {
            let clock = Clock(Self.batches)
            let (admission, _) = Self.admission(1, limit: 16, clock: clock)
            let other = Self.take(admission, Self.ask())
            // The first one has its place beside the other, the rest wait.
            let waiter = CountingWaiter()
            var grant: Admission.Grant?
            for index in 0..<40 {
                guard case .granted(let granted) = admission.admit(ask, waiter: { waiter }) else { continue }
                #expect(index == 0)
                grant = granted
            }
            #expect(grant != nil && !admission.isWaiting(0))
            if isAlone, let other, let first = grant {
                for held in [other, first] { admission.release(held, .success) }
                clock.set(Self.batches + 30)
                admission.tick()
                #expect(waiter.count == 12 && admission.isWaiting(0))
                // The first one began when the other had just gone.
                grant = waiter.grants.withLock { $0.last }
            }
            let answers = grant?.answers ?? 0
            let taken = admission.gather(ask, limit: 15, tokens: 1_000_000, charging: &grant) { _ in true }
            #expect(taken.count == joined && grant?.answers == answers + joined)
        }
    }

    @Test func besideOthersBatchesRest() {
        let clock = Clock(Self.batches)
        let (admission, _) = Self.admission(1, limit: 16, clock: clock)
        let other = Self.take(admission, Self.ask())
        let first = Self.take(admission, Self.batchAsk())
        #expect(other != nil && first != nil && Self.take(admission, Self.batchAsk()) == nil)
        clock.set(Self.batches + 1)
        if let first { admission.release(first, .success) }
        // Three times as long as it took.
        clock.set(Self.batches + 3.9)
        #expect(Self.take(admission, Self.batchAsk()) == nil)
        clock.set(Self.batches + 4)
        #expect(Self.take(admission, Self.batchAsk()) != nil)
    }

    @Test func batchesMakeRoomForOtherGatewaysClients() {
        let clock = Clock(Self.others)
        let (admission, replicas) = Self.admission(2, limit: 4, clock: clock)
        let waiter = CountingWaiter()
        var held: [Admission.Grant] = []
        while case .granted(let grant) = admission.admit(Self.batchAsk(), waiter: { waiter }) { held.append(grant) }
        #expect(held.count == 6 && admission.busyReplicas().isEmpty)
        admission.othersWork(for: [replicas[1].address, "10.0.0.1:1"])
        #expect(waiter.preempted == held.filter { $0.replica.id == 1 }.map(\.number) && waiter.preempted.count == 3)
        for grant in held { admission.release(grant, .unknown) }
        // What was heard is not told on: it would go round for ever.
        #expect(admission.busyReplicas().isEmpty)
        // It is not idle for that, as long as it is heard.
        clock.set(Self.others + 0.9)
        // One of the three places at the other one has gone to the one that waited.
        let taken = (0..<5).compactMap { _ in Self.take(admission, Self.batchAsk())?.replica.id }
        #expect(waiter.count == 1 && taken == [0, 0])
        // What works for its own clients, or did a moment ago, is told.
        var own = Self.ask()
        own.excluded = [0]
        let client = Self.take(admission, own)
        #expect(client?.replica.id == 1 && admission.busyReplicas() == [replicas[1].address])
        if let client { admission.release(client, .success) }
        clock.set(Self.others + 1.3)
        #expect(admission.busyReplicas() == [replicas[1].address])
        clock.set(Self.others + 1.5)
        #expect(admission.busyReplicas().isEmpty)
    }

    @Test func whereTheOthersCannotBeSeenBatchesGetLess() {
        var share = BatchShare()
        var now = 100.0
        for _ in 0..<8 { Self.turns(&share, from: &now, slowdown: 1.01) }
        #expect(share.limit == 16)
        for _ in 0..<8 {
            for index in 0..<8 {
                let begin = now + 10 + Double(index)
                share.served(
                    from: Self.moment(begin), to: Self.moment(begin + 0.5), tokens: 10, isAlone: false, isBeside: true,
                    most: 16)
            }
            now += 20
        }
        #expect(share.limit == 4)
    }

    @Test func whoFindsNoPlaceClearsBatchesAway() {
        let (admission, _) = Self.admission(1, limit: 1, clock: Clock(Self.others))
        let waiter = CountingWaiter()
        guard case .granted(let grant) = admission.admit(Self.batchAsk(), waiter: { waiter }),
            case .waiting = admission.admit(Self.ask(), waiter: { waiter })
        else {
            Issue.record("there is one place")
            return
        }
        #expect(waiter.preempted == [grant.number] && waiter.count == 0)
        admission.release(grant, .unknown)
        #expect(waiter.count == 1)
    }

    @Test func whatWasClearedAwayOftenStays() {
        for (time, count) in [(Self.batches, 1), (Self.others, 0)] {
            let (admission, _) = Self.admission(1, limit: 16, clock: Clock(time))
            let waiter = CountingWaiter()
            var ask = Self.batchAsk()
            ask.preemptions = 3
            for _ in 0..<6 { _ = admission.admit(ask) { waiter } }
            #expect(Self.take(admission, Self.ask()) != nil)
            // As much as the others bear, and in the batches' turn.
            #expect(waiter.preempted.count == 6 - count)
        }
    }

    @Test func batchesTakeWhatIsLeft() {
        let (admission, _) = Self.admission(1, limit: 16, clock: Clock(Self.others))
        // Alone: three quarters, so that whoever comes finds a place.
        var held: [Admission.Grant] = []
        while let grant = Self.take(admission, Self.batchAsk()) { held.append(grant) }
        #expect(held.count == 12)
        // Who is no batch is not kept by those that wait.
        let urgent = (0..<4).compactMap { _ in Self.take(admission, Self.ask()) }
        #expect(urgent.count == 4)
        // While others run, nothing where it is not the batches' turn.
        for grant in held.prefix(8) { admission.release(grant, .success) }
        let waiter = CountingWaiter()
        guard case .waiting = admission.admit(Self.batchAsk(), waiter: { waiter }) else {
            Issue.record("a batch waits")
            return
        }
        #expect(waiter.count == 0)
        // Somebody else's place all the same, after twenty of them.
        for _ in 0..<Admission.batchEvery {
            if let grant = Self.take(admission, Self.ask()) { admission.release(grant, .success) }
        }
        #expect(waiter.count == 1 && admission.load(of: 0).inFlight == 9)
        // A cache that is half full is not spare, nor is one who has something waiting.
        let (other, idle) = Self.admission(1, limit: 16, clock: Clock(Self.others))
        for load in [(0.0, 0.6), (1.0, 0.1)] {
            other.probed(idle[0], isUp: true, load: Self.load(waiting: load.0, cache: load.1))
            #expect(Self.take(other, Self.batchAsk()) == nil)
            #expect(Self.take(other, Self.ask()) != nil)
        }
    }

    @Test func nothingOfABatchGoesBeforeWhatWaits() {
        let (admission, _) = Self.admission(1, limit: 4, clock: Clock(Self.others))
        let held = (0..<4).compactMap { _ in Self.take(admission, Self.ask()) }
        let (batch, urgent) = (CountingWaiter(), CountingWaiter())
        guard case .waiting(let id) = admission.admit(Self.batchAsk(), waiter: { batch }),
            case .waiting = admission.admit(Self.ask(), waiter: { urgent })
        else {
            Issue.record("all places are taken")
            return
        }
        admission.release(held[0], .success)
        #expect(urgent.count == 1 && batch.count == 0)
        // It has a place when it is due, whoever else there is.
        admission.release(held[1], .success)
        for _ in 0..<Admission.batchEvery {
            if let grant = Self.take(admission, Self.ask()) { admission.release(grant, .success) }
        }
        #expect(batch.count == 1)
        #expect(!admission.leave(id, Self.batchAsk()))
        guard case .waiting(let other) = admission.admit(Self.batchAsk(), waiter: { batch }) else { return }
        #expect(admission.leave(other, Self.batchAsk()))
        for grant in held[2...] { admission.release(grant, .success) }
        #expect(batch.count == 1)
    }
}

extension ConcurrencyLimit {
    /// With one answer for each request.
    fileprivate mutating func update(_ load: Load, inFlight: Int) {
        update(load, inFlight: inFlight, answers: inFlight)
    }
}
