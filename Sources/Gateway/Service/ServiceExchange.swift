import HTTPWire
import Logging
import NIOCore
import Pipeline
import Synchronization

/// A request that a service answers, on its way. Used on one event loop.
final class ServiceExchange {
    /// What of the body is still to come.
    enum Rest {
        case bytes(Int)
        case chunks(ChunkedDecoder, total: Int)
        case none
    }

    let requestID: ByteBuffer
    var rest: Rest
    /// Whether the connection is left unread because the service has enough.
    var isFull = false
    /// When all of the body must have come.
    let bodyDeadline: NIODeadline
    /// Whether the answer's head is written.
    var hasBegun = false
    private var isCancelled = false
    private(set) var body: ServiceBody
    private var task: Task<Void, Never>?
    private var writable: EventLoopPromise<Void>?
    private let client: NIOLoopBound<ClientConnection>
    private let loop: any EventLoop

    init(_ client: ClientConnection, loop: any EventLoop, requestID: ByteBuffer, rest: Rest) {
        bodyDeadline = .now() + TimeAmount(client.core.configuration.timeouts.upload)
        self.client = NIOLoopBound(client, eventLoop: loop)
        self.loop = loop
        self.requestID = requestID
        self.rest = rest
        let bound = self.client
        body = ServiceBody { loop.execute { bound.value.serviceWantsMore() } }
    }

    /// Has the request answered.
    func start(_ service: any GatewayService, _ request: ServiceRequest) {
        let (client, loop, core) = (client, loop, client.value.core)
        // Unstructured: it ends with the connection, by `cancel`.
        task = Task {
            do {
                let answer = try await service.answer(request)
                switch answer.content {
                case .json(let text):
                    try await loop.submit { client.value.serviceAnswered(answer.status, text) }.get()
                case .bytes(let length, let pieces):
                    try await loop.submit { client.value.serviceBegins(answer.status, length: length) }.get()
                    var left = length
                    for try await piece in pieces {
                        left -= Int64(piece.count)
                        guard left >= 0 else { break }
                        try await loop.flatSubmit { client.value.serviceWrites(piece) }.get()
                    }
                    let isWhole = left == 0
                    try await loop.submit { client.value.serviceEnded(isWhole: isWhole) }.get()
                }
            } catch let error as GatewayError {
                core.metrics.refuse(error)
                loop.execute { client.value.serviceFailed(error) }
            } catch {
                // The client's going is no news.
                if !(error is CancellationError || error is ServiceClientGone) {
                    core.log.warning(
                        "a request was not answered",
                        metadata: [
                            "path": "\(request.path.prefix(200))", "error": "\(error)",
                        ])
                }
                loop.execute {
                    client.value.serviceFailed(
                        .unavailable(
                            code: "service_unavailable", retryAfter: 5,
                            "a server that keeps files and batches does not answer at present; try again"))
                }
            }
        }
    }

    /// Nobody waits for the answer any more.
    func cancel() {
        isCancelled = true
        body.finish(.failure(ServiceClientGone()))
        task?.cancel()
        writable?.fail(ServiceClientGone())
        writable = nil
    }

    /// Completes when the client takes more.
    func whenWritable() -> EventLoopFuture<Void> {
        guard !isCancelled else { return loop.makeFailedFuture(ServiceClientGone()) }
        let promise = writable ?? loop.makePromise(of: Void.self)
        writable = promise
        return promise.futureResult
    }

    func clientIsWritable() {
        writable?.succeed()
        writable = nil
    }
}

/// The client closed its connection before its request or the answer was whole.
package struct ServiceClientGone: Error {}

extension ClientConnection {
    /// Hands a request over whose head was read, if a service answers its path.
    /// - Returns: whether it did.
    func beginService() throws(HTTPFault) -> Bool {
        guard let service = core.service.withLock({ $0 }),
            let bytes = received.getSlice(at: received.readerIndex, length: head.length)
        else { return false }
        let (path, query, type) = bytes.withUnsafeReadableBytes { bytes in
            (
                String(decoding: bytes[head.path], as: UTF8.self), String(decoding: bytes[head.query], as: UTF8.self),
                head.value(of: .contentType).map { String(decoding: bytes[$0], as: UTF8.self) }
            )
        }
        guard ServicePath.isServed(path) else { return false }
        let identity = RequestIdentity(head, bytes, loop, allocator)
        let caller: Caller
        do { caller = try authenticate(bytes, head.value(of: .authorization)) } catch {
            refuse(error, requestID: identity.requestID)
            return true
        }
        let limit = core.configuration.limits.upload
        let rest: ServiceExchange.Rest
        switch head.framing {
        case .length(let length):
            guard length <= limit else { throw tooLarge(limit) }
            rest = length == 0 ? .none : .bytes(length)
        case .chunked: rest = .chunks(ChunkedDecoder(), total: 0)
        case .untilClose: rest = .none
        }
        let exchange = ServiceExchange(self, loop: loop.loop, requestID: identity.requestID, rest: rest)
        received.moveReaderIndex(forwardBy: head.length)
        phase = .service(exchange)
        awaitBody(of: exchange)
        if case .none = rest {
            exchange.body.finish(.success(()))
            ownDeadline = .now() + TimeAmount(core.configuration.timeouts.total)
        }
        if head.expectsContinue {
            writeStatic("HTTP/1.1 100 Continue\r\n\r\n")
            flush()
        }
        let method: ServiceRequest.Method =
            switch head.method {
            case .get: .get
            case .post: .post
            case .delete: .delete
            default: .other
            }
        exchange.start(
            service,
            ServiceRequest(
                method: method, path: path, query: query, contentType: type, body: exchange.body, key: caller.key?.key))
        return true
    }

    /// Hands over what has come of the body.
    func feedService(_ exchange: ServiceExchange) throws(HTTPFault) {
        guard !exchange.isFull else { return }
        switch exchange.rest {
        case .none: return
        case .bytes(let left):
            guard let piece = received.readBytes(length: min(left, received.readableBytes)) else { return }
            exchange.rest = left == piece.count ? .none : .bytes(left - piece.count)
            feed(exchange, piece)
        case .chunks(var decoder, var total):
            var consumed = 0
            var pieces: [[UInt8]] = []
            var isAtEnd = false
            var isWaiting = false
            while !isAtEnd, !isWaiting {
                var result: Result<ChunkedDecoder.Part?, HTTPFault> = .success(nil)
                received.withUnsafeReadableBytes { bytes in
                    result = Result { () throws(HTTPFault) in
                        let part = try decoder.next(bytes, at: &consumed)
                        if case .content(let range) = part { pieces.append(Array(bytes[range])) }
                        return part
                    }
                }
                switch try result.get() {
                case .content(let range): total += range.count
                case .end: isAtEnd = true
                case nil: isWaiting = true
                }
                guard total <= core.configuration.limits.upload else {
                    throw tooLarge(core.configuration.limits.upload)
                }
            }
            received.moveReaderIndex(forwardBy: consumed)
            exchange.rest = isAtEnd ? .none : .chunks(decoder, total: total)
            for piece in pieces { feed(exchange, piece) }
        }
        if case .none = exchange.rest {
            exchange.body.finish(.success(()))
            // From here on the service takes the time it needs.
            ownDeadline = .now() + TimeAmount(core.configuration.timeouts.total)
        }
    }

    /// For its next piece, as long as all of it may take.
    private func awaitBody(of exchange: ServiceExchange) {
        ownDeadline = min(.now() + TimeAmount(core.configuration.timeouts.body), exchange.bodyDeadline)
    }

    private func feed(_ exchange: ServiceExchange, _ piece: [UInt8]) {
        if exchange.body.feed(piece) {
            awaitBody(of: exchange)
        } else {
            exchange.isFull = true
            setReading(false)
            // That nothing comes now is not the client's fault.
            ownDeadline = .now() + TimeAmount(core.configuration.timeouts.total)
        }
    }

    func serviceWantsMore() {
        guard case .service(let exchange) = phase, exchange.isFull else { return }
        exchange.isFull = false
        // What has come as a whole is waited for no more; the service takes the time it needs.
        if case .none = exchange.rest {} else { awaitBody(of: exchange) }
        setReading(true)
        process()
    }

    func serviceAnswered(_ status: Int, _ text: String) {
        guard case .service(let exchange) = phase else { return }
        leaveBody(exchange)
        answer(status, text, fields: "", requestID: exchange.requestID)
        serviceDone()
    }

    func serviceFailed(_ error: GatewayError) {
        guard case .service(let exchange) = phase else { return }
        if exchange.hasBegun {
            close()
            return
        }
        leaveBody(exchange)
        answer(error, requestID: exchange.requestID)
        serviceDone()
    }

    func serviceBegins(_ status: Int, length: Int64) {
        guard case .service(let exchange) = phase else { return }
        leaveBody(exchange)
        exchange.hasBegun = true
        let size = 256 + exchange.requestID.readableBytes
        var out = allocator.buffer(capacity: size)
        out.write(atMost: size) { out in
            out.statusLine(status)
            out.text("\r\ncontent-type: application/octet-stream\r\ncontent-length: ")
            out.decimal(Int(length))
            out.text("\r\nx-request-id: ")
            out.buffer(exchange.requestID)
            if closesAfterAnswer {
                out.text("\r\nconnection: close")
            } else if head.isOldVersion {
                out.text("\r\nconnection: keep-alive")
            }
            out.text("\r\n\r\n")
        }
        write(out)
    }

    func serviceWrites(_ piece: [UInt8]) -> EventLoopFuture<Void> {
        guard case .service(let exchange) = phase else { return loop.loop.makeFailedFuture(ServiceClientGone()) }
        var out = allocator.buffer(capacity: piece.count)
        out.writeBytes(piece)
        write(out)
        flush()
        // A flush that fails ends the connection under whoever flushed.
        guard case .service = phase else { return loop.loop.makeFailedFuture(ServiceClientGone()) }
        guard !isWritable else {
            ownDeadline = .now() + TimeAmount(core.configuration.timeouts.total)
            return loop.loop.makeSucceededVoidFuture()
        }
        ownDeadline = .now() + TimeAmount(core.configuration.timeouts.stalledClient)
        return exchange.whenWritable()
    }

    /// - Parameter isWhole: whether as many bytes came as were promised; what is cut short ends with the connection.
    func serviceEnded(isWhole: Bool) {
        guard case .service = phase else { return }
        guard isWhole else {
            close()
            return
        }
        serviceDone()
    }

    /// Ends the request that a service answers, if there is one.
    func leaveService() {
        if case .service(let exchange) = phase { exchange.cancel() }
    }

    /// A body of which nobody reads the rest cannot be told from the next request.
    private func leaveBody(_ exchange: ServiceExchange) {
        if case .none = exchange.rest { return }
        closesAfterAnswer = true
        exchange.rest = .none
        exchange.body.finish(.failure(ServiceClientGone()))
    }

    private func serviceDone() {
        flush()
        guard case .service = phase else { return }
        phase = .exchanging
        endRequest()
    }
}

/// The paths that services answer.
enum ServicePath {
    private static let roots = ["/v1/files", "/v1/batches"]

    static func isServed(_ path: String) -> Bool {
        roots.contains { path == $0 || path.hasPrefix($0 + "/") }
    }
}
