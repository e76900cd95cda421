import Glibc
import HTTPWire
import NIOCore
import Pipeline

/// A client's connection: reads one request after another, and writes their answers in that order.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase {
        /// For a request's first byte.
        case idle
        case head
        /// For the rest of a body whose length is known; it follows the head in `received`.
        case body(length: Int)
        case chunks(ChunkedDecoder)
        case exchanging
        case closing
    }

    /// How long a client has to take the last answer and close.
    private static let lingering = TimeAmount.seconds(2)

    /// When `expire` is to be called.
    var deadline: NIODeadline {
        if case .exchanging = phase, let exchange { return exchange.deadline }
        return ownDeadline
    }
    /// Its place in the loop's list.
    var sweepIndex = 0
    /// Whether no further request is taken.
    var closesAfterAnswer = false

    private let loop: LoopState
    private var context: ChannelHandlerContext?
    private var phase = Phase.idle
    private var ownDeadline: NIODeadline
    private var received = ByteBuffer()
    private var head = RequestHead()
    private var searched = 0
    /// A chunked body's content so far.
    private var content = ByteBuffer()
    private var exchange: Exchange?
    private var isReading = false
    private var isPaused = false
    private var keys = KeyCache()

    private var core: GatewayCore { loop.core }

    init(_ loop: LoopState) {
        self.loop = loop
        ownDeadline = .now() + TimeAmount(loop.core.configuration.timeouts.head)
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .closing = phase { return }
        let buffer = unwrapInboundIn(data)
        if received.readableBytes == 0 { received = buffer } else { received.writeImmutableBuffer(buffer) }
        if case .exchanging = phase {
            // Further requests wait, within bounds; reading goes on so that the client's end is seen.
            if received.readableBytes > core.configuration.limits.pipelined { setReading(false) }
            return
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        exchange?.clientIsWritable()
        if case .idle = phase {
            setReading(true)
            process()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        phase = .closing
        loop.remove(self)
        exchange?.cancel()
        exchange = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        close()
    }

    // MARK: For the exchange

    var allocator: ByteBufferAllocator { context?.channel.allocator ?? ByteBufferAllocator() }
    var isWritable: Bool { context?.channel.isWritable ?? true }

    func write(_ buffer: ByteBuffer) {
        context?.write(wrapOutboundOut(buffer), promise: nil)
    }

    func writeStatic(_ text: StaticString) {
        var out = allocator.buffer(capacity: text.utf8CodeUnitCount)
        out.writeStaticString(text)
        write(out)
    }

    func flush() {
        context?.flush()
    }

    /// The exchange is over and its answer written.
    func exchangeEnded() {
        exchange = nil
        if case .closing = phase { return }
        flush()
        endRequest()
    }

    /// Writes an answer of the gateway itself.
    func answer(_ error: GatewayError, requestID: ByteBuffer?) {
        var fields = ""
        if let seconds = error.retryAfter { fields += "retry-after: \(seconds)\r\n" }
        if let allow = error.allow { fields += "allow: \(allow)\r\n" }
        answer(error.status, error.body, fields: fields, requestID: requestID)
    }

    // MARK: Its end

    /// Something took too long.
    func expire(_ now: NIODeadline) {
        switch phase {
        case .exchanging: exchange?.expire(now)
        case .idle, .closing: close()
        case .head: refuse(.invalid(408, code: "head_timeout", "the request's head did not come in time"))
        case .body, .chunks: refuse(.invalid(408, code: "body_timeout", "the request's body did not come in time"))
        }
    }

    /// Takes no further request; closes at once where none is in hand.
    func drain() {
        closesAfterAnswer = true
        if case .idle = phase { close() }
    }

    func close() {
        phase = .closing
        context?.close(promise: nil)
    }

    // MARK: Reading

    private func setReading(_ isOn: Bool) {
        guard isPaused == isOn else { return }
        isPaused = !isOn
        try? context?.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }

    /// Goes on with what was received, up to a request that is passed on. Never inside itself.
    private func process() {
        guard !isReading else { return }
        isReading = true
        defer { isReading = false }
        while received.readableBytes > 0 {
            do {
                switch phase {
                case .idle:
                    guard isWritable else {
                        // Whoever does not take the answers that it has gets no more of them.
                        setReading(false)
                        ownDeadline = .now() + TimeAmount(core.configuration.timeouts.stalledClient)
                        return
                    }
                    phase = .head
                    ownDeadline = .now() + TimeAmount(core.configuration.timeouts.head)
                case .head:
                    guard try readHead() else { return }
                case .body(let length):
                    guard received.readableBytes >= head.length + length else { return }
                    take(length)
                case .chunks(var decoder):
                    guard try readChunks(&decoder) else { return }
                case .exchanging, .closing: return
                }
            } catch {
                refuse(.invalid(error.status, code: "malformed_request", error.message))
                return
            }
        }
    }

    private func readHead() throws(HTTPFault) -> Bool {
        let limit = core.configuration.limits.head
        var result: Result<Bool, HTTPFault> = .success(false)
        received.withUnsafeReadableBytes { bytes in
            result = Result { () throws(HTTPFault) in try head.read(bytes, searched: &searched, limit: limit) }
        }
        guard try result.get() else { return false }
        if !head.keepsAlive { closesAfterAnswer = true }
        let bodyLimit = core.configuration.limits.body
        switch head.framing {
        case .length(let length):
            guard length <= bodyLimit else { throw tooLarge(bodyLimit) }
            phase = .body(length: length)
            if received.readableBytes >= head.length + length {
                take(length)
                return true
            }
        case .chunked:
            content = ByteBuffer()
            phase = .chunks(ChunkedDecoder())
        // The head stays where it is: its places are needed when the body is whole.
        case .untilClose: break
        }
        ownDeadline = .now() + TimeAmount(core.configuration.timeouts.body)
        guard admitsBody() else { return false }
        if head.expectsContinue {
            writeStatic("HTTP/1.1 100 Continue\r\n\r\n")
            flush()
        }
        return true
    }

    /// Whether a body is worth waiting for: who has no key need not send it.
    private func admitsBody() -> Bool {
        do {
            guard let bytes = received.getSlice(at: received.readerIndex, length: head.length) else { return true }
            _ = try authenticate(bytes, head.value(of: .authorization))
            return true
        } catch {
            refuse(error)
            return false
        }
    }

    private func tooLarge(_ limit: Int) -> HTTPFault {
        HTTPFault(413, "the body has more than \(limit) bytes")
    }

    /// The request is whole: its head and body lie in `received`.
    private func take(_ length: Int) {
        guard let bytes = received.readSlice(length: head.length + length) else { return }
        var body = bytes
        body.moveReaderIndex(forwardBy: head.length)
        begin(bytes, body)
    }

    /// - Returns: false when more bytes are needed.
    private func readChunks(_ decoder: inout ChunkedDecoder) throws(HTTPFault) -> Bool {
        let limit = core.configuration.limits.body
        var consumed = head.length
        while true {
            var result: Result<ChunkedDecoder.Part?, HTTPFault> = .success(nil)
            received.withUnsafeReadableBytes { bytes in
                result = Result { () throws(HTTPFault) in try decoder.next(bytes, at: &consumed) }
            }
            switch try result.get() {
            case .content(let range):
                guard content.readableBytes + range.count <= limit else { throw tooLarge(limit) }
                received.withUnsafeReadableBytes { bytes in
                    _ = content.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[range]))
                }
            case .end:
                guard let bytes = received.getSlice(at: received.readerIndex, length: head.length) else { return false }
                received.moveReaderIndex(forwardBy: consumed)
                begin(bytes, content)
                content = ByteBuffer()
                return true
            case nil:
                // What was decoded is dropped; the head stays in front.
                try dropDecoded(consumed)
                phase = .chunks(decoder)
                return false
            }
        }
    }

    private func dropDecoded(_ consumed: Int) throws(HTTPFault) {
        guard let bytes = received.getSlice(at: received.readerIndex, length: head.length) else { return }
        var kept = allocator.buffer(capacity: head.length + 4_096)
        kept.writeImmutableBuffer(bytes)
        received.moveReaderIndex(forwardBy: consumed)
        kept.writeImmutableBuffer(received)
        received = kept
    }

    // MARK: Requests

    /// Answers a request, or begins the exchange with a replica.
    /// - Parameters:
    ///   - bytes: that begin with its head.
    ///   - body: its content.
    private func begin(_ bytes: ByteBuffer, _ body: ByteBuffer) {
        phase = .exchanging
        let received = NIODeadline.now()
        let identity = RequestIdentity(head, bytes, loop, allocator)
        do {
            try begin(bytes, body, identity, received)
        } catch {
            core.metrics.refuse(error)
            answer(error, requestID: identity.requestID)
            flush()
            endRequest()
        }
    }

    private func begin(
        _ bytes: ByteBuffer, _ body: ByteBuffer, _ identity: RequestIdentity, _ received: NIODeadline
    ) throws(GatewayError) {
        let (path, secret) = bytes.withUnsafeReadableBytes { bytes in
            (
                Endpoint(path: UnsafeRawBufferPointer(rebasing: bytes[head.path])),
                head.value(of: .authorization)
            )
        }
        guard let endpoint = path else {
            throw .invalid(
                404, code: "unknown_path",
                "there is no such path here; see /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings")
        }
        let isRead = head.method == .get
        guard isRead != endpoint.isProxied, isRead || head.method == .post else {
            var error = GatewayError.invalid(405, code: "method_not_allowed", "the path does not have this method")
            error.allow = endpoint.isProxied ? "POST" : "GET"
            throw error
        }
        if endpoint == .health {
            answer(200, "{\"status\":\"ok\"}", fields: "", requestID: identity.requestID)
            flush()
            endRequest()
            return
        }
        let key = try authenticate(bytes, secret)
        if endpoint == .models {
            answer(200, ModelList.body(core.modelNames, for: key?.key), fields: "", requestID: identity.requestID)
            flush()
            endRequest()
            return
        }
        let request = try prepare(endpoint, body, identity, key, received)
        let exchange = Exchange(request, loop: loop, client: self)
        self.exchange = exchange
        exchange.start()
    }

    private func authenticate(_ bytes: ByteBuffer, _ place: Range<Int>?) throws(GatewayError) -> KeyState? {
        guard core.configuration.requiresKeys else { return nil }
        guard let place else { throw .noKey }
        let found = bytes.withUnsafeReadableBytes { bytes in
            keys.find(UnsafeRawBufferPointer(rebasing: bytes[place]), in: core.keys)
        }
        guard let found else {
            guard core.keys.isLoaded else { throw .keysUnknown }
            throw .unknownKey
        }
        if let expires = found.key.limits.expires, loop.secondsSince1970 >= expires.seconds { throw .unknownKey }
        return found
    }

    private func prepare(
        _ endpoint: Endpoint, _ body: ByteBuffer, _ identity: RequestIdentity, _ key: KeyState?,
        _ received: NIODeadline
    ) throws(GatewayError) -> ClientRequest {
        var result: Result<BodyInspection, BodyFault> = .success(BodyInspection())
        let depth = core.configuration.limits.depth
        body.withUnsafeReadableBytes { bytes in
            result = Result { () throws(BodyFault) in try BodyInspection(bytes, maximumDepth: depth) }
        }
        let inspection: BodyInspection
        do { inspection = try result.get() } catch { throw .body(error) }
        let affinity = Self.affinity(inspection, body)
        let stickiness = inspection.session == nil ? key.map { Hash.mix(UInt64($0.id)) } ?? loop.randomWord() : affinity
        guard let (deployment, arm, fallback) = core.resolve(inspection.model, stickiness: stickiness) else {
            throw .invalid(
                404, code: "model_not_found", parameter: "model",
                "there is no model '\(inspection.model.prefix(128))' here; /v1/models lists those there are")
        }
        if let key, !endpoint.isGeneration { try key.check(model: deployment.model) }
        let expected = try Self.expectedTokens(inspection)
        let tokens = inspection.estimatedPromptTokens + expected
        let price = core.prices.price(of: deployment.model)
        var reservation: KeyState.Reservation?
        var level = 1
        if let key, endpoint.isGeneration {
            let cost = price.cost(TokenUse(prompt: inspection.estimatedPromptTokens, completion: expected))
            let taken = try key.reserve(
                model: deployment.model, tokens: tokens, cost: cost, now: loop.secondsSince1970,
                isShared: core.keys.isShared)
            reservation = taken.reservation
            level = taken.priority
        }
        let ask = Admission.Ask(
            deployment: deployment.id, key: key?.id ?? 0, cost: tokens, level: level,
            affinity: affinity)
        return ClientRequest(
            endpoint: endpoint, inspection: inspection, body: body, fields: identity.fields,
            requestID: identity.requestID, isOldVersion: head.isOldVersion, keepsAlive: head.keepsAlive,
            deployment: deployment, arm: arm, fallback: fallback, key: key, reservation: reservation, price: price,
            ask: ask, received: received)
    }

    /// Tokens of the answers at most, or so many as are usual.
    private static func expectedTokens(_ inspection: BodyInspection) throws(GatewayError) -> Int {
        let answers = inspection.answers.multipliedReportingOverflow(by: inspection.prompts)
        let tokens = answers.partialValue.multipliedReportingOverflow(by: inspection.maximumTokens ?? usualTokens)
        guard !answers.overflow, !tokens.overflow, tokens.partialValue <= 1_000_000_000 else {
            throw .invalid(
                code: "too_many_tokens", parameter: "max_tokens",
                "all answers together may have more than 1000000000 tokens: ask for fewer, or for shorter ones")
        }
        return tokens.partialValue
    }

    private static let usualTokens = 256

    /// Requests of one session belong together, and those whose prompts begin alike.
    private static func affinity(_ inspection: BodyInspection, _ body: ByteBuffer) -> UInt64 {
        if let session = inspection.session { return Hash.of(session.utf8) }
        let head = inspection.prompt.prefix(256)
        return body.withUnsafeReadableBytes { Hash.of(UnsafeRawBufferPointer(rebasing: $0[head])) }
    }

    private func endRequest() {
        // A flush that fails ends the connection under whoever flushed.
        if case .closing = phase { return }
        if closesAfterAnswer {
            // Only the sending side is closed now: were there bytes of the client that nobody has read, closing both
            // would reset the connection and the answer might be lost (RFC 9112 §9.6).
            phase = .closing
            // As long as it takes the answer; then a moment to close.
            ownDeadline = .now() + TimeAmount(core.configuration.timeouts.stalledClient)
            setReading(true)
            received = ByteBuffer()
            let bound = NIOLoopBound(self, eventLoop: loop.loop)
            context?.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
                bound.value.ownDeadline = .now() + Self.lingering
                bound.value.context?.close(mode: .output, promise: nil)
            }
            return
        }
        phase = .idle
        ownDeadline = .now() + TimeAmount(core.configuration.timeouts.keepAlive)
        setReading(true)
        process()
    }

    /// Answers what is no request that can be passed on; nothing after it can be trusted.
    private func refuse(_ error: GatewayError) {
        core.metrics.refuse(error)
        closesAfterAnswer = true
        answer(error, requestID: nil)
        flush()
        endRequest()
    }

    private func answer(_ status: Int, _ body: String, fields: String, requestID: ByteBuffer?) {
        var out = allocator.buffer(capacity: 256 + body.utf8.count)
        out.writeStaticString("HTTP/1.1 ")
        out.writeDecimal(status)
        out.writeStaticString(" ")
        out.writeStaticString(StatusReason.of(status))
        out.writeStaticString("\r\ncontent-type: application/json\r\ncontent-length: ")
        out.writeDecimal(body.utf8.count)
        out.writeStaticString("\r\n")
        out.writeString(fields)
        if let requestID {
            out.writeStaticString("x-request-id: ")
            out.writeImmutableBuffer(requestID)
            out.writeStaticString("\r\n")
        }
        if closesAfterAnswer { out.writeStaticString("connection: close\r\n") }
        out.writeStaticString("\r\n")
        if head.method != .head { out.writeString(body) }
        write(out)
    }
}
