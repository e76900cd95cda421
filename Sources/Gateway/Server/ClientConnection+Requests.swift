import Glibc
import HTTPWire
import NIOCore
import Pipeline

extension ClientConnection {
    /// Answers a request, or begins the exchange with a replica.
    /// - Parameters:
    ///   - bytes: that begin with its head.
    ///   - body: its content.
    func begin(_ bytes: ByteBuffer, _ body: ByteBuffer) {
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

    func begin(
        _ bytes: ByteBuffer, _ body: ByteBuffer, _ identity: RequestIdentity, _ received: NIODeadline
    ) throws(GatewayError) {
        let (path, secret) = bytes.withUnsafeReadableBytes { bytes in
            (
                Endpoint(path: UnsafeRawBufferPointer(rebasing: bytes[head.path])),
                head.value(of: .authorization)
            )
        }
        guard let endpoint = path else {
            if try answersModel(bytes, secret, identity) { return }
            throw .invalid(
                404, code: "unknown_path",
                "there is no such path here; see /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings, "
                    + "/v1/files, /v1/batches")
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
        let caller = try authenticate(bytes, secret)
        if endpoint == .models {
            answer(
                200, ModelList.body(core.modelNames, for: caller.key?.key), fields: "", requestID: identity.requestID)
            flush()
            endRequest()
            return
        }
        let (request, ask) = try prepare(endpoint, body, identity, caller, received)
        let exchange = Exchange(request, ask, loop: loop, client: self)
        self.exchange = exchange
        exchange.start()
    }

    /// Answers what one model is, if that is asked.
    private func answersModel(
        _ bytes: ByteBuffer, _ secret: Range<Int>?, _ identity: RequestIdentity
    ) throws(GatewayError) -> Bool {
        guard head.method == .get else { return false }
        let path = bytes.withUnsafeReadableBytes { String(decoding: $0[head.path], as: UTF8.self) }
        guard let name = ModelList.name(inPath: path) else { return false }
        let caller = try authenticate(bytes, secret)
        guard let body = ModelList.body(name, of: core.modelNames, for: caller.key?.key) else {
            throw .invalid(
                404, code: "model_not_found", parameter: "model",
                "there is no model '\(name.prefix(128))' here; /v1/models lists those there are")
        }
        answer(200, body, fields: "", requestID: identity.requestID)
        flush()
        endRequest()
        return true
    }

    func authenticate(_ bytes: ByteBuffer, _ place: Range<Int>?) throws(GatewayError) -> Caller {
        if let place {
            let own = bytes.withUnsafeReadableBytes { bytes in
                core.batchPass.bearer(in: UnsafeRawBufferPointer(rebasing: bytes[place]))
            }
            switch own {
            case .mirror: return Caller(key: nil, isBatch: true, isMirror: true)
            case .key(let number):
                guard core.keys.isLoaded || !core.configuration.requiresKeys else { throw .keysUnknown }
                let key = core.keys.key(number)
                guard key != nil || !core.configuration.requiresKeys else { throw .unknownKey }
                return Caller(key: key, isBatch: true)
            case nil: break
            }
        }
        guard core.configuration.requiresKeys else { return Caller(key: nil, isBatch: false) }
        guard let place else { throw .noKey }
        let found = bytes.withUnsafeReadableBytes { bytes in
            keys.find(UnsafeRawBufferPointer(rebasing: bytes[place]), in: core.keys)
        }
        guard let found else {
            guard core.keys.isLoaded else { throw .keysUnknown }
            throw .unknownKey
        }
        if let expires = found.expires, loop.secondsSince1970 >= expires { throw .unknownKey }
        return Caller(key: found, isBatch: false)
    }

    func prepare(
        _ endpoint: Endpoint, _ body: ByteBuffer, _ identity: RequestIdentity, _ caller: Caller,
        _ received: NIODeadline
    ) throws(GatewayError) -> (ClientRequest, Admission.Ask) {
        let key = caller.key
        var result: Result<BodyInspection, BodyFault> = .success(BodyInspection())
        let depth = core.configuration.limits.depth
        body.withUnsafeReadableBytes { bytes in
            result = Result { () throws(BodyFault) in try BodyInspection(bytes, maximumDepth: depth) }
        }
        let inspection: BodyInspection
        do { inspection = try result.get() } catch { throw .body(error) }
        let affinity = Self.affinity(inspection, body)
        let stickiness = inspection.session == nil ? key.map { Hash.mix(UInt64($0.id)) } ?? loop.randomWord() : affinity
        let resolved =
            caller.isMirror
            ? core.resolveMirror(inspection.model)
            : core.resolve(inspection.model, stickiness: stickiness, joinsRollout: !caller.isBatch)
        guard let (deployment, arm, fallback) = resolved else {
            guard !core.isAwaited(inspection.model) else { throw .noModels }
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
                isShared: core.keys.isShared, isBatch: caller.isBatch)
            reservation = taken.reservation
            level = taken.priority
        }
        var ask = Admission.Ask(
            deployment: deployment.id, key: key?.id ?? 0, cost: tokens,
            answers: inspection.answers * inspection.prompts, level: level, affinity: affinity,
            isBatch: caller.isBatch)
        let joint = JointKey(
            endpoint, inspection, body, deployment: deployment.id, key: key?.id ?? 0, loop: loop.number,
            isBatch: caller.isBatch, isJoining: core.coalescing.mode != .off)
        ask.joint = joint
        let request = ClientRequest(
            endpoint: endpoint, inspection: inspection, body: body, fields: identity.fields,
            requestID: identity.requestID, isOldVersion: head.isOldVersion, keepsAlive: head.keepsAlive,
            deployment: deployment, arm: arm, fallback: fallback, key: key, reservation: reservation, price: price,
            joint: joint, received: received)
        return (request, ask)
    }

    /// Tokens of the answers at most, or so many as are usual.
    static func expectedTokens(_ inspection: BodyInspection) throws(GatewayError) -> Int {
        let answers = inspection.answers.multipliedReportingOverflow(by: inspection.prompts)
        let tokens = answers.partialValue.multipliedReportingOverflow(by: inspection.maximumTokens ?? usualTokens)
        guard !answers.overflow, !tokens.overflow, tokens.partialValue <= 1_000_000_000 else {
            throw .invalid(
                code: "too_many_tokens", parameter: "max_tokens",
                "all answers together may have more than 1000000000 tokens: ask for fewer, or for shorter ones")
        }
        return tokens.partialValue
    }

    static let usualTokens = 256

    /// Requests of one session belong together, and those whose prompts begin alike.
    static func affinity(_ inspection: BodyInspection, _ body: ByteBuffer) -> UInt64 {
        if let session = inspection.session { return Hash.of(session.utf8) }
        let head = inspection.prompt.prefix(256)
        return body.withUnsafeReadableBytes { Hash.of(memory: UnsafeRawBufferPointer(rebasing: $0[head])) }
    }

    func endRequest() {
        // A flush that fails ends the connection under whoever flushed.
        if case .closing = phase { return }
        answeredAt = .now()
        unsent = .max
        if closesAfterAnswer {
            // Only the sending side is closed now: were there bytes of the client that nobody has read, closing both
            // would reset the connection and the answer might be lost (RFC 9112 §9.6).
            phase = .closing
            // As long as it takes the answer; then a moment to close.
            ownDeadline = answeredAt + TimeAmount(core.configuration.timeouts.stalledClient)
            setReading(true)
            received = ByteBuffer()
            flush()
            let bound = NIOLoopBound(self, eventLoop: loop.loop)
            context?.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
                bound.value.ownDeadline = .now() + Self.lingering
                bound.value.context?.close(mode: .output, promise: nil)
            }
            return
        }
        phase = .idle
        forgetPiece()
        loop.lookout.expect(socket)
        ownDeadline = answeredAt + TimeAmount(core.configuration.timeouts.keepAlive)
        setReading(true)
        process()
    }

    /// Answers what is no request that can be passed on; nothing after it can be trusted.
    /// - Parameter requestID: of a request whose head was read.
    func refuse(_ error: GatewayError, requestID: ByteBuffer? = nil) {
        leaveService()
        core.metrics.refuse(error)
        closesAfterAnswer = true
        answer(error, requestID: requestID)
        flush()
        endRequest()
    }

    func answer(_ status: Int, _ body: String, fields: String, requestID: ByteBuffer?) {
        answer(status, ByteBuffer(string: body), fields: fields, requestID: requestID)
    }

    /// Writes an answer that is there as a whole.
    /// - Parameters:
    ///   - body: JSON.
    ///   - fields: further header lines.
    func answer(_ status: Int, _ body: ByteBuffer, fields: String, requestID: ByteBuffer?) {
        let size = 256 + fields.utf8.count + (requestID?.readableBytes ?? 0) + body.readableBytes
        var out = allocator.buffer(capacity: size)
        out.write(atMost: size) { out in
            out.statusLine(status)
            out.text("\r\n")
            if !ResponseHead.isEmpty(status) {
                out.text("content-type: application/json\r\ncontent-length: ")
                out.decimal(body.readableBytes)
                out.text("\r\n")
            }
            out.string(fields)
            if let requestID {
                out.text("x-request-id: ")
                out.buffer(requestID)
                out.text("\r\n")
            }
            if closesAfterAnswer {
                out.text("connection: close\r\n")
            } else if head.isOldVersion {
                out.text("connection: keep-alive\r\n")
            }
            out.text("\r\n")
            if head.method != .head { out.buffer(body) }
        }
        write(out)
    }
}
