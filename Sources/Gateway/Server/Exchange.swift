import Glibc
import HTTPWire
import Metrics
import NIOCore
import Pipeline

/// One request on its way: waits for a place, is sent to a replica, and its answer comes back. Used on one event loop.
final class Exchange: UpstreamReceiver {
    enum Phase {
        case waiting(UInt64)
        case connecting
        case sent
        case answering
        /// Together with others.
        case joint(JointCall)
        case over
    }

    // What each piece of a stream needs stands together: with a thousand streams little of it is in the processor's
    // cache when the next piece comes.
    let loop: LoopState
    /// It is there as long as the exchange is not over: when its connection ends it cancels the exchange.
    let client: ClientConnection
    var upstream: UpstreamConnection?
    let total: NIODeadline
    var deadline: NIODeadline
    /// What it takes, in the journal; from the moment on that it is sent.
    var slot: UsageSlot?
    var firstPiece: NIODeadline?
    var filter: EventStreamFilter?
    var isChunked = false
    /// Whether the client takes nothing at present.
    var isStalled = false
    var phase = Phase.connecting

    let request: ClientRequest
    /// The version that answers; in a rollout another one, once the new one has failed.
    var deployment: ModelTable.Deployment
    var arm: RolloutTable.Arm?
    /// That of the new version that would not answer, and the old one is asked.
    var refused: RolloutTable.Arm?
    var series: GatewayMetrics.Series
    var grant: Admission.Grant?
    var ask: Admission.Ask
    var attempts = 0
    /// The second try, while it has not answered.
    var hedge: Hedge?
    /// The call that has this one's place.
    weak var led: JointCall?
    /// The number of a place that others need.
    var recalled: UInt64 = 0
    /// Whether a kept connection had been closed; after that only new ones are used.
    var wasStale = false

    var status = 0
    /// Bytes of the answer's body that the client was promised and has not got; nil where it was promised none.
    var promised: Int?
    var tail = ByteBuffer()
    /// What of the answer's use of tokens, and of its being cut for its length, stood before its end.
    var foundUse: TokenUse?
    var foundTruncation = false
    /// Bytes of an answer without events in which the use of tokens is looked for: its end.
    static let tailLimit = 16_384

    /// Whether it is not to be joined with others, or not again.
    var isAlone = false
    /// Whether the answer was there already and takes nothing.
    var isFree = false
    /// Whether the answer broke off.
    var isBroken = false

    var sentAt: NIODeadline

    var core: GatewayCore { loop.core }
    var timeouts: GatewayTimeouts { loop.core.configuration.timeouts }

    init(_ request: ClientRequest, _ ask: Admission.Ask, loop: LoopState, client: ClientConnection) {
        self.request = request
        self.loop = loop
        self.client = client
        deployment = request.deployment
        arm = request.arm
        series = loop.core.metrics.series(request.deployment, request.endpoint)
        self.ask = ask
        sentAt = request.received
        deadline = request.received + TimeAmount(loop.core.configuration.timeouts.queue)
        total = request.received + TimeAmount(loop.core.configuration.timeouts.total)
        loop.lookout.requests += 1
    }

    // MARK: A place

    func start() {
        if joinsKnownAnswer() { return }
        let decision = core.admission.admit(ask) { Ticket(self, loop.loop) }
        switch decision {
        case .granted(let grant): use(grant)
        case .waiting(let id): phase = .waiting(id)
        case .full(let waiting):
            fail(
                .limited(
                    code: "queue_full", retryAfter: retryAfter(),
                    "\(waiting) requests wait for '\(deployment.label)', as many as may"))
        case .fullForKey(let waiting):
            fail(
                .limited(
                    code: "queue_full_for_key", retryAfter: retryAfter(),
                    "\(waiting) requests of this key wait for '\(deployment.label)', as many as may"))
        case .noReplica:
            if fallsBack() { return }
            fail(
                .unavailable(
                    code: "no_replica", retryAfter: 5,
                    "no model server answers for '\(deployment.label)' at present"))
        }
    }

    /// Comes to the loop from wherever a place became free.
    final class Ticket: Admission.Waiter {
        private let exchange: NIOLoopBound<Exchange>
        private let loop: any EventLoop

        /// The exchange itself, for its own loop.
        var waiting: Exchange { exchange.value }

        init(_ exchange: Exchange, _ loop: any EventLoop) {
            self.exchange = NIOLoopBound(exchange, eventLoop: loop)
            self.loop = loop
        }

        func granted(_ grant: Admission.Grant) {
            // Also on the same loop: who gave the place back is in the middle of something.
            loop.execute { self.exchange.value.granted(grant) }
        }

        func preempted(_ number: UInt64) {
            loop.execute { self.exchange.value.preempted(number) }
        }
    }

    func granted(_ grant: Admission.Grant) {
        guard case .waiting = phase else {
            core.admission.release(grant, .unknown)
            return
        }
        guard !isRecalled(grant) else {
            core.admission.release(grant, .unknown)
            waitAgain()
            return
        }
        use(grant)
    }

    private func isRecalled(_ grant: Admission.Grant) -> Bool { grant.isBatch && grant.number == recalled }

    /// Others need the place of a batch: it waits again, if it has nothing of its answer yet.
    func preempted(_ number: UInt64) {
        if let led, led.preempted(number) { return }
        switch phase {
        case .sent:
            guard let grant, grant.number == number else { return }
            upstream?.abort()
            upstream = nil
            giveBack(grant)
        // The place is on its way to it, or it on its way to the replica.
        case .waiting, .connecting: recalled = max(recalled, number)
        default: return
        }
    }

    private func giveBack(_ grant: Admission.Grant) {
        self.grant = nil
        core.admission.release(grant, .unknown)
        attempts -= 1
        waitAgain()
    }

    /// As if it had just come.
    func waitAgain() {
        core.metrics.preempted.increment()
        ask.preemptions += 1
        let now = NIODeadline.now()
        // Sent later it would be too late through no fault of the replica's.
        guard total - now > TimeAmount(timeouts.firstToken) else {
            failPreempted()
            return
        }
        deadline = now + TimeAmount(timeouts.queue)
        phase = .connecting
        start()
    }

    func failPreempted() {
        fail(
            .unavailable(
                code: "preempted", retryAfter: retryAfter(),
                "requests of others took all places at '\(deployment.label)'"))
    }

    func use(_ grant: Admission.Grant) {
        if let call = JointCall.begin(self, grant) {
            led = call
            call.start()
            return
        }
        self.grant = grant
        attempts += 1
        if let connection = loop.takeConnection(to: grant.replica) {
            let (isFirst, series) = (attempts == 1 && ask.preemptions == 0, series)
            send(on: connection)
            if isFirst { series.queued.recordNanoseconds((sentAt - request.received).nanoseconds) }
            return
        }
        countWait()
        phase = .connecting
        deadline = .distantFuture
        loop.connect(to: grant.replica) { [self] result in
            guard case .connecting = phase else {
                if case .success(let connection) = result { loop.keep(connection) }
                return
            }
            switch result {
            case .success(let connection):
                if let grant = self.grant, isRecalled(grant) {
                    loop.keep(connection)
                    giveBack(grant)
                } else {
                    send(on: connection)
                }
            case .failure:
                upstreamFailed(
                    .upstream(502, code: "upstream_unreachable", "the model server cannot be reached"),
                    canRetry: true, isStale: false)
            }
        }
    }

    /// How long the first attempt had to wait for its place.
    func countWait() {
        if attempts == 1, ask.preemptions == 0 {
            series.queued.recordNanoseconds((NIODeadline.now() - request.received).nanoseconds)
        }
    }

    /// From now on it takes something, and is waited for.
    func begin() {
        if slot == nil, request.endpoint.isGeneration {
            slot = core.journal?.begin(
                key: request.key?.id ?? 0, model: deployment.model, version: deployment.version,
                prompt: request.inspection.estimatedPromptTokens, second: Int(loop.secondsSince1970))
        }
        sentAt = .now()
        deadline = answerDeadline
    }

    /// When the model server must have begun to answer.
    var answerDeadline: NIODeadline {
        let first = sentAt + TimeAmount(timeouts.firstToken)
        guard !request.inspection.isStream else { return min(total, first) }
        if ask.isBatch { return total }
        guard request.endpoint.isGeneration else { return min(total, first) }
        guard let tokens = request.inspection.maximumTokens else { return total }
        return min(total, first + TimeAmount(timeouts.perToken * min(tokens, 1_000_000)))
    }

    /// When a second replica is asked, if the first one has not answered.
    private func planHedge() {
        guard isHedged, let pause = timeouts.hedge else { return }
        deadline = min(deadline, sentAt + TimeAmount(pause))
    }

    func send(on connection: UpstreamConnection) {
        phase = .sent
        upstream = connection
        begin()
        planHedge()
        connection.send(request.encoded(for: connection.replica, client.allocator), for: self)
    }
}
