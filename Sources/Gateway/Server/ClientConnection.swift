import Glibc
import HTTPWire
import NIOCore
import Pipeline

/// A client's connection: reads one request after another, and writes their answers in that order.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        /// For a request's first byte.
        case idle
        case head
        /// For the rest of a body whose length is known; it follows the head in `received`.
        case body(length: Int)
        case chunks(ChunkedDecoder)
        case exchanging
        /// A service answers, and may still read the body.
        case service(ServiceExchange)
        case closing
    }

    /// How long a client has to take the last answer and close.
    static let lingering = TimeAmount.seconds(2)

    // What each piece of a stream needs stands together (see `Exchange`).
    let loop: LoopState
    var context: ChannelHandlerContext?
    private(set) var socket: CInt = -1
    /// Whether the socket is this connection's: a closed one's number may be another's soon.
    var isOpen = false
    /// Whether the client takes what is written, as the channel said last.
    private(set) var isWritable = true
    /// Whether the channel may have something that the socket has not taken: what is written goes behind it.
    var channelHolds = false
    /// Whether the loop flushes it soon.
    var isFlushedSoon = false
    /// What was written and not passed on yet.
    var piece = ByteBuffer()

    /// When `expire` is to be called.
    var deadline: NIODeadline {
        if case .exchanging = phase, let exchange { return exchange.deadline }
        return ownDeadline
    }
    /// Its place in the loop's list.
    var sweepIndex = 0
    /// Whether no further request is taken.
    var closesAfterAnswer = false

    var phase = Phase.idle
    var ownDeadline: NIODeadline
    var received = ByteBuffer()
    var head = RequestHead()
    var searched = 0
    /// A chunked body's content so far.
    var content = ByteBuffer()
    var exchange: Exchange?
    /// When the last answer was written, and what the client had not taken of it at the last look.
    var answeredAt = NIODeadline.uptimeNanoseconds(0)
    var unsent = Int.max
    var isReading = false
    var isPaused = false
    var keys = KeyCache()

    var core: GatewayCore { loop.core }

    init(_ loop: LoopState) {
        self.loop = loop
        ownDeadline = .now() + TimeAmount(loop.core.configuration.timeouts.head)
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        allocator = context.channel.allocator
        socket = context.socket
        isOpen = socket >= 0
        loop.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        isOpen = false
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .closing = phase { return }
        let buffer = unwrapInboundIn(data)
        received.receive(buffer)
        if case .exchanging = phase {
            // Further requests wait, within bounds; reading goes on so that the client's end is seen.
            if received.readableBytes > core.configuration.limits.pipelined { setReading(false) }
            return
        }
        if case .service(let exchange) = phase, case .none = exchange.rest {
            if received.readableBytes > core.configuration.limits.pipelined { setReading(false) }
            return
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush()
        loop.lookout.saw()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        guard isWritable else { return }
        exchange?.clientIsWritable()
        if case .service(let exchange) = phase { exchange.clientIsWritable() }
        if case .idle = phase {
            setReading(true)
            process()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        isOpen = false
        leaveService()
        phase = .closing
        loop.lookout.forget(socket)
        loop.remove(self)
        exchange?.cancel()
        exchange = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        close()
    }

    // MARK: For the exchange

    private(set) var allocator = ByteBufferAllocator()

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
        case .idle, .closing:
            // A long answer may take a slow client longer than that, as long as it takes something.
            guard let left = unsentBytes, left < unsent,
                now < answeredAt + TimeAmount(core.configuration.timeouts.total)
            else {
                close()
                return
            }
            unsent = left
            ownDeadline = now + TimeAmount(core.configuration.timeouts.stalledClient)
        case .head: refuse(.invalid(408, code: "head_timeout", "the request's head did not come in time"))
        case .service(let exchange):
            if case .none = exchange.rest {
                close()
            } else if exchange.isFull || exchange.hasBegun {
                close()
            } else {
                serviceFailed(.invalid(408, code: "body_timeout", "the request's body did not come in time"))
            }
        case .body, .chunks: refuse(.invalid(408, code: "body_timeout", "the request's body did not come in time"))
        }
    }

    /// Bytes of answers that the client has yet to take; nil for none.
    var unsentBytes: Int? {
        let left = (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        return left > 0 ? left : nil
    }

    /// Takes no further request; closes at once where none is in hand.
    func drain() {
        closesAfterAnswer = true
        guard case .idle = phase else { return }
        if unsentBytes == nil { close() } else { endRequest() }
    }

    func close() {
        isOpen = false
        leaveService()
        phase = .closing
        context?.close(promise: nil)
    }

    // MARK: Reading

    func setReading(_ isOn: Bool) {
        guard isPaused == isOn else { return }
        isPaused = !isOn
        if isOn { loop.lookout.expect(socket) } else { loop.lookout.forget(socket) }
        try? context?.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }

    /// Goes on with what was received, up to a request that is passed on. Never inside itself.
    func process() {
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
                    head.forget()
                    ownDeadline = .now() + TimeAmount(core.configuration.timeouts.head)
                case .head:
                    guard try readHead() else { return }
                case .body(let length):
                    guard received.readableBytes >= head.length + length else { return }
                    take(length)
                case .chunks(var decoder):
                    guard try readChunks(&decoder) else { return }
                case .service(let exchange):
                    try feedService(exchange)
                    return
                case .exchanging, .closing: return
                }
            } catch {
                refuse(.invalid(error.status, code: "malformed_request", error.message))
                return
            }
        }
    }

    func readHead() throws(HTTPFault) -> Bool {
        let limit = core.configuration.limits.head
        var result: Result<Bool, HTTPFault> = .success(false)
        received.withUnsafeReadableBytes { bytes in
            result = Result { () throws(HTTPFault) in try head.read(bytes, searched: &searched, limit: limit) }
        }
        guard try result.get() else { return false }
        if !head.keepsAlive { closesAfterAnswer = true }
        if try beginService() { return true }
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
    func admitsBody() -> Bool {
        do {
            guard let bytes = received.getSlice(at: received.readerIndex, length: head.length) else { return true }
            _ = try authenticate(bytes, head.value(of: .authorization))
            return true
        } catch {
            refuse(error, requestID: requestID)
            return false
        }
    }

    /// The identifier of the request whose head lies in `received`.
    var requestID: ByteBuffer? {
        received.getSlice(at: received.readerIndex, length: head.length).map {
            RequestIdentity(head, $0, loop, allocator).requestID
        }
    }

    func tooLarge(_ limit: Int) -> HTTPFault {
        HTTPFault(413, "the body has more than \(limit) bytes")
    }

    /// The request is whole: its head and body lie in `received`.
    func take(_ length: Int) {
        guard let bytes = received.readSlice(length: head.length + length) else { return }
        var body = bytes
        body.moveReaderIndex(forwardBy: head.length)
        begin(bytes, body)
    }

    /// - Returns: false when more bytes are needed.
    func readChunks(_ decoder: inout ChunkedDecoder) throws(HTTPFault) -> Bool {
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

    func dropDecoded(_ consumed: Int) throws(HTTPFault) {
        guard let bytes = received.getSlice(at: received.readerIndex, length: head.length) else { return }
        var kept = allocator.buffer(capacity: head.length + 4_096)
        kept.writeImmutableBuffer(bytes)
        received.moveReaderIndex(forwardBy: consumed)
        kept.writeImmutableBuffer(received)
        received = kept
    }
}
