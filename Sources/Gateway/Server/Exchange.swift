import Glibc
import HTTPWire
import Metrics
import NIOCore
import Pipeline

/// One request on its way: waits for a place, is sent to a replica, and its answer comes back. Used on one event loop.
final class Exchange {
    private enum Phase {
        case waiting(UInt64)
        case connecting
        case sent
        case answering
        case over
    }

    let request: ClientRequest
    private let loop: LoopState
    /// It is there as long as the exchange is not over: when its connection ends it cancels the exchange.
    private let client: ClientConnection
    /// The version that answers; in a rollout another one, once the new one has failed.
    private var deployment: ModelTable.Deployment
    private var arm: RolloutTable.Arm?
    private var series: GatewayMetrics.Series
    private var phase = Phase.connecting
    private var grant: Admission.Grant?
    private var upstream: UpstreamConnection?
    private var ask: Admission.Ask
    private var attempts = 0

    private var status = 0
    private var isChunked = false
    /// Bytes of the answer's body that the client was promised and has not got; nil where it was promised none.
    private var promised: Int?
    private var filter: EventStreamFilter?
    /// Whether the client takes nothing at present.
    private var isStalled = false
    private var tail = ByteBuffer()
    /// Bytes of an answer without events in which the use of tokens is looked for: its end.
    private static let tailLimit = 16_384

    private let total: NIODeadline
    private(set) var deadline: NIODeadline
    private var sentAt = NIODeadline.now()
    private var firstPiece: NIODeadline?
    /// What it takes, in the journal; from the moment on that it is sent.
    private var slot: UsageSlot?

    private var core: GatewayCore { loop.core }
    private var timeouts: GatewayTimeouts { loop.core.configuration.timeouts }

    init(_ request: ClientRequest, loop: LoopState, client: ClientConnection) {
        self.request = request
        self.loop = loop
        self.client = client
        deployment = request.deployment
        arm = request.arm
        series = loop.core.metrics.series(request.deployment, request.endpoint)
        ask = request.ask
        deadline = request.received + TimeAmount(loop.core.configuration.timeouts.queue)
        total = request.received + TimeAmount(loop.core.configuration.timeouts.total)
    }

    // MARK: A place

    func start() {
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
    private final class Ticket: Admission.Waiter {
        private let exchange: NIOLoopBound<Exchange>
        private let loop: any EventLoop

        init(_ exchange: Exchange, _ loop: any EventLoop) {
            self.exchange = NIOLoopBound(exchange, eventLoop: loop)
            self.loop = loop
        }

        func granted(_ grant: Admission.Grant) {
            // Also on the same loop: who gave the place back is in the middle of something.
            loop.execute { self.exchange.value.granted(grant) }
        }
    }

    private func granted(_ grant: Admission.Grant) {
        guard case .waiting = phase else {
            core.admission.release(grant, .unknown)
            return
        }
        use(grant)
    }

    private func use(_ grant: Admission.Grant) {
        self.grant = grant
        attempts += 1
        if attempts == 1 { series.queued.recordNanoseconds((NIODeadline.now() - request.received).nanoseconds) }
        if let connection = loop.takeConnection(to: grant.replica) {
            send(on: connection)
            return
        }
        phase = .connecting
        deadline = .distantFuture
        loop.connect(to: grant.replica) { [self] result in
            guard case .connecting = phase else {
                if case .success(let connection) = result { loop.keep(connection) }
                return
            }
            switch result {
            case .success(let connection): send(on: connection)
            case .failure:
                upstreamFailed(
                    .upstream(502, code: "upstream_unreachable", "the model server cannot be reached"), canRetry: true)
            }
        }
    }

    private func send(on connection: UpstreamConnection) {
        phase = .sent
        upstream = connection
        if slot == nil, request.endpoint.isGeneration {
            slot = core.journal?.begin(
                key: request.key?.id ?? 0, model: deployment.model, version: deployment.version,
                prompt: request.inspection.estimatedPromptTokens, second: Int(loop.secondsSince1970))
        }
        sentAt = .now()
        deadline = min(total, sentAt + TimeAmount(timeouts.firstToken))
        connection.send(request.encoded(for: connection.replica, client.allocator), for: self)
    }

    // MARK: The answer

    func upstreamHead(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer) {
        let now = NIODeadline.now()
        if head.status >= 500, request.fallback != nil, arm?.isCandidate == true {
            upstream?.abort()
            upstream = nil
            _ = fallsBack()
            return
        }
        series.firstByte.recordNanoseconds((now - sentAt).nanoseconds)
        deadline = min(total, now + TimeAmount(timeouts.betweenTokens))
        phase = .answering
        status = head.status
        let isEvents = request.inspection.isStream && Self.isEventStream(head, bytes)
        if isEvents { filter = EventStreamFilter(passesUsage: !request.addsUsage) }

        var out = client.allocator.buffer(capacity: bytes.count + 256)
        out.writeStaticString("HTTP/1.1 ")
        out.writeDecimal(status)
        out.writeStaticString(" ")
        out.writeStaticString(StatusReason.of(status))
        out.writeStaticString("\r\n")
        for field in head.fields where !Self.isReplaced(field.known) {
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[field.name]))
            out.writeStaticString(": ")
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[field.value]))
            out.writeStaticString("\r\n")
        }
        if isEvents { out.writeStaticString("x-accel-buffering: no\r\n") }
        out.writeStaticString("x-request-id: ")
        out.writeImmutableBuffer(request.requestID)
        if case .length(let count) = head.framing, !isEvents {
            out.writeStaticString("\r\ncontent-length: ")
            out.writeDecimal(count)
            promised = count
        } else if !request.isOldVersion {
            out.writeStaticString("\r\ntransfer-encoding: chunked")
            isChunked = true
        }
        let closes = !request.keepsAlive || promised == nil && !isChunked
        if closes { client.closesAfterAnswer = true }
        if client.closesAfterAnswer { out.writeStaticString("\r\nconnection: close") }
        out.writeStaticString("\r\n\r\n")
        client.write(out)
    }

    func upstreamContent(_ content: ByteBuffer) {
        deadline = min(total, .now() + TimeAmount(timeouts.betweenTokens))
        if filter != nil {
            var out = client.allocator.buffer(capacity: content.readableBytes)
            filter?.feed(content, into: &out)
            if let filter {
                slot?.progress(completion: filter.pieces)
                // The head of a stream comes before there is anything to say.
                if firstPiece == nil, filter.pieces > 0 { firstPiece = .now() }
            }
            writeContent(out)
        } else {
            keepTail(content)
            if promised != nil {
                promised? -= content.readableBytes
                client.write(content)
            } else {
                writeContent(content)
            }
        }
        if !client.isWritable, let upstream {
            // What the client does not take stays at the replica, in the buffers of its own connection.
            upstream.pause()
            isStalled = true
            deadline = .now() + TimeAmount(timeouts.stalledClient)
        }
    }

    func flush() {
        client.flush()
    }

    func upstreamEnded() {
        upstream = nil
        if filter != nil {
            var out = client.allocator.buffer(capacity: 0)
            filter?.finish(into: &out)
            writeContent(out)
        }
        if isChunked { client.writeStatic("0\r\n\r\n") }
        finish()
    }

    /// In a rollout the old version answers what the new one could not: nobody pays for the trial. The failure is the
    /// new one's all the same.
    private func fallsBack() -> Bool {
        guard let fallback = request.fallback, let arm, arm.isCandidate else { return false }
        var sums = RolloutSums()
        sums.requests = 1
        sums.errors = 1
        core.rollouts.record(arm, model: deployment.model, stratum: stratum, sums)
        series.serverErrors.increment()
        slot?.finish(status: 502, use: TokenUse(), cost: 0, isPartial: true)
        slot = nil
        if let grant { core.admission.release(grant, .failure) }
        grant = nil
        self.arm = nil
        deployment = fallback
        series = core.metrics.series(fallback, request.endpoint)
        ask.deployment = fallback.id
        ask.excluded = []
        attempts = 0
        deadline = request.received + TimeAmount(timeouts.queue)
        phase = .connecting
        start()
        return true
    }

    private var stratum: Int { RolloutSums.stratum(promptTokens: request.inspection.estimatedPromptTokens) }

    /// Whether the answer broke off.
    private var isBroken = false

    /// The replica failed. Before the first byte of an answer another one is asked; after it the client is told.
    /// - Parameter isStale: the replica had closed a connection that was kept for reuse, which is no fault of its.
    func upstreamFailed(_ error: GatewayError, canRetry: Bool = false, isStale: Bool = false) {
        upstream = nil
        if case .answering = phase {
            isBroken = true
            tell(error)
            client.closesAfterAnswer = true
            finish()
            return
        }
        if !isStale, fallsBack() { return }
        guard canRetry, attempts < core.configuration.limits.attempts, let grant,
            isStale || core.admission.mayRetry(deployment.id)
        else {
            fail(error)
            return
        }
        if !isStale { ask.excluded.append(grant.replica.id) }
        self.grant = nil
        core.admission.release(grant, isStale ? .unknown : .failure)
        deadline = min(total, .now() + TimeAmount(timeouts.queue))
        start()
    }

    /// Writes an event that says why the stream ends; what is no stream can only be cut.
    private func tell(_ error: GatewayError) {
        guard filter != nil else { return }
        var out = client.allocator.buffer(capacity: 256)
        filter?.drop()
        out.writeString("data: \(error.body)\n\n")
        writeContent(out)
        if isChunked { client.writeStatic("0\r\n\r\n") }
    }

    private func writeContent(_ content: ByteBuffer) {
        guard content.readableBytes > 0 else { return }
        guard isChunked else {
            client.write(content)
            return
        }
        var out = client.allocator.buffer(capacity: content.readableBytes + 20)
        out.writeHexadecimal(content.readableBytes)
        out.writeStaticString("\r\n")
        out.writeImmutableBuffer(content)
        out.writeStaticString("\r\n")
        client.write(out)
    }

    private func keepTail(_ content: ByteBuffer) {
        guard request.endpoint.isGeneration, status == 200 else { return }
        if tail.readableBytes == 0 {
            tail = content
        } else {
            tail.writeImmutableBuffer(content)
        }
        let excess = tail.readableBytes - Self.tailLimit
        if excess > 0 {
            tail.moveReaderIndex(forwardBy: excess)
            if tail.readerIndex > 8 * Self.tailLimit { tail.discardReadBytes() }
        }
    }

    // MARK: The end

    /// The client has gone: nobody waits for the answer any more.
    func cancel() {
        switch phase {
        case .over: return
        case .waiting(let id):
            // A place given meanwhile comes back by `granted`.
            _ = core.admission.leave(id, ask)
            settle(.cancelled)
        case .connecting: settle(.cancelled)
        case .sent, .answering:
            upstream?.abort()
            upstream = nil
            settle(.cancelled)
        }
    }

    /// Something took too long.
    func expire(_ now: NIODeadline) {
        switch phase {
        case .over, .connecting: return
        case .waiting(let id):
            guard core.admission.leave(id, ask) else { return }
            fail(
                .unavailable(
                    code: "queue_timeout", retryAfter: retryAfter(),
                    "no place at '\(deployment.label)' became free within \(timeouts.queue)"))
        case .sent:
            upstream?.abort()
            upstream = nil
            fail(
                .upstream(
                    504, code: "first_token_timeout", "the model server did not begin to answer in time"))
        case .answering where isStalled:
            client.close()
        case .answering:
            upstream?.abort()
            let isTotal = now >= total
            upstreamFailed(
                .upstream(
                    504, code: isTotal ? "total_timeout" : "token_timeout",
                    isTotal
                        ? "the answer took longer than \(timeouts.total)"
                        : "the model server went silent in the middle of its answer"))
        }
    }

    var isOver: Bool {
        if case .over = phase { return true }
        return false
    }

    func clientIsWritable() {
        guard isStalled else { return }
        isStalled = false
        deadline = min(total, .now() + TimeAmount(timeouts.betweenTokens))
        upstream?.resume()
    }

    private func retryAfter() -> Int { core.admission.wait(of: deployment.id) }

    private enum Outcome {
        case ended
        case cancelled
        case failed(GatewayError)
    }

    private func fail(_ error: GatewayError) {
        status = error.status
        settle(.failed(error))
        client.answer(error, requestID: request.requestID)
        client.exchangeEnded()
    }

    private func finish() {
        settle(.ended)
        client.exchangeEnded()
    }

    /// Gives everything back and writes down what was used; once.
    private func settle(_ outcome: Outcome) {
        if case .over = phase { return }
        phase = .over
        if let grant { core.admission.release(grant, replicaOutcome(outcome)) }
        grant = nil
        let (use, isPartial) = usedTokens()
        let cost = request.price.cost(use)
        if let key = request.key, let reservation = request.reservation {
            key.settle(reservation, tokens: use.prompt + use.completion, cost: cost)
        }
        slot?.finish(status: status, use: use, cost: cost, isPartial: isPartial)
        if let arm { record(arm, outcome, use) }
        series.duration.recordNanoseconds((NIODeadline.now() - request.received).nanoseconds)
        if use.prompt > 0 { series.promptTokens.increment(by: use.prompt) }
        if use.completion > 0 { series.completionTokens.increment(by: use.completion) }
        switch outcome {
        case .cancelled: series.cancelled.increment()
        case .failed(let error):
            core.metrics.refuse(error)
            (error.status >= 500 ? series.serverErrors : series.clientErrors).increment()
        case .ended where status >= 500: series.serverErrors.increment()
        case .ended where status >= 400: series.clientErrors.increment()
        case .ended: series.requests.increment()
        }
    }

    /// What the end of the request says of its version, for the rollout's judge.
    private func record(_ arm: RolloutTable.Arm, _ outcome: Outcome, _ use: TokenUse) {
        var sums = RolloutSums()
        switch outcome {
        case .cancelled: return
        case .failed(let error) where slot == nil || error.status < 500: return
        case .ended where status >= 400 && status < 500: return
        default: break
        }
        sums.requests = 1
        if isBroken || status >= 500 {
            sums.errors = 1
        } else {
            let (end, tokens) = (NIODeadline.now(), use.completion)
            if tokens == 0 { sums.empty = 1 }
            if isTruncated { sums.truncated = 1 }
            sums.length.add(Double(tokens))
            if filter != nil, let firstPiece {
                sums.firstToken.add(Double((firstPiece - sentAt).nanoseconds) / 1e9)
                if tokens > 1 { sums.perToken.add(Double((end - firstPiece).nanoseconds) / 1e9 / Double(tokens - 1)) }
            } else if tokens > 0 {
                sums.perToken.add(Double((end - sentAt).nanoseconds) / 1e9 / Double(tokens))
            }
        }
        core.rollouts.record(arm, model: deployment.model, stratum: stratum, sums)
    }

    /// Whether the answer ended because it was as long as it may be.
    private var isTruncated: Bool {
        filter.map(\.isTruncated)
            ?? tail.withUnsafeReadableBytes { EventStreamFilter.holds($0, "\"finish_reason\":\"length\"") }
    }

    /// What the end of the request says of its replica.
    private func replicaOutcome(_ outcome: Outcome) -> Admission.Outcome {
        switch outcome {
        case .cancelled: .unknown
        case .failed: .failure
        // That it has too much to do is no fault; what it cannot do at all is none of its faults either.
        case .ended: isBroken || status >= 500 && status != 501 && status != 503 ? .failure : .success
        }
    }

    /// As the model server told it; of an answer that was cut short, as far as it came.
    private func usedTokens() -> (TokenUse, isPartial: Bool) {
        guard request.endpoint.isGeneration, status == 200 else { return (TokenUse(), false) }
        if let filter {
            if let use = filter.use { return (use, false) }
            return (TokenUse(prompt: request.inspection.estimatedPromptTokens, completion: filter.pieces), true)
        }
        let told = tail.withUnsafeReadableBytes { TokenUse(lastIn: $0) }
        if let told { return (told, false) }
        return (TokenUse(prompt: request.inspection.estimatedPromptTokens), true)
    }

    private static func isEventStream(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let place = head.value(of: .contentType), place.count >= 17 else { return false }
        let type: StaticString = "text/event-stream"
        return bytes[place].prefix(17).elementsEqual(
            UnsafeBufferPointer(start: type.utf8Start, count: 17))
    }

    /// Fields that are set here, or that end with the connection to the replica.
    private static func isReplaced(_ field: KnownField) -> Bool {
        switch field {
        case .contentLength, .requestID, .server, .setCookie: true
        default: field.isHopByHop
        }
    }
}
