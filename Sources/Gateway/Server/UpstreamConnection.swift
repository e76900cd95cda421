import HTTPWire
import NIOCore

/// A connection to a replica: sends one request at a time and reads its answer.
final class UpstreamConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase {
        case idle
        case head
        case content(left: Int)
        case chunks(ChunkedDecoder)
        case untilClose
        case closed
    }

    /// Bytes of a response's head.
    private static let headLimit = 65_536

    // What each piece of a stream needs stands together (see `Exchange`).
    private let loop: LoopState
    private var receiver: (any UpstreamReceiver)?
    private var phase = Phase.idle
    private var received = ByteBuffer()
    private var isPaused = false
    /// Its place with the streams that are read together; nil as long as the channel reads.
    private var place: Int?
    /// Whether the answer in hand comes in pieces.
    private var isInPieces = false {
        didSet { if isInPieces != oldValue { loop.streams.answers += isInPieces ? 1 : -1 } }
    }
    private(set) var socket: CInt = -1
    private var context: ChannelHandlerContext?
    let replica: Replica
    private(set) var idleSince = NIODeadline.now()
    /// Whether it has carried a request before, so that the replica may just have closed it for its age.
    private(set) var isReused = false
    private var head = ResponseHead()
    private var searched = 0
    private var sentAt = NIODeadline.now()

    /// A connection that was closed while it was kept shows it at once; one that closes later had the request.
    private static let staleness = TimeAmount.milliseconds(100)

    init(_ loop: LoopState, _ replica: Replica) {
        self.loop = loop
        self.replica = replica
    }

    /// Sends a request; the answer goes to the receiver.
    func send(_ request: ByteBuffer, for receiver: any UpstreamReceiver) {
        self.receiver = receiver
        phase = .head
        searched = 0
        sentAt = .now()
        // Before the write: that may fail, and end the connection.
        loop.lookout.expect(socket)
        context?.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    /// Ends the request in hand, and the connection with it: the replica sees that nobody waits any more.
    func abort() {
        receiver = nil
        close()
    }

    func close() {
        phase = .closed
        isInPieces = false
        leaveStreams(readsOn: false)
        context?.close(promise: nil)
    }

    /// Reads no further: the client takes nothing at present.
    func pause() {
        guard !isPaused else { return }
        isPaused = true
        leaveStreams(readsOn: false)
        loop.lookout.forget(socket)
        try? context?.channel.syncOptions?.setOption(.autoRead, value: false)
    }

    func resume() {
        guard isPaused else { return }
        isPaused = false
        loop.lookout.expect(socket)
        try? context?.channel.syncOptions?.setOption(.autoRead, value: true)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        socket = context.socket
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        receive(unwrapInboundIn(data))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        receiver?.flush()
        loop.lookout.saw()
        joinStreams()
    }

    /// What came of a stream that is read together with others.
    func take(_ buffer: ByteBuffer) {
        receive(buffer)
        receiver?.flush()
    }

    private func receive(_ buffer: ByteBuffer) {
        received.receive(buffer)
        do {
            try read()
        } catch {
            fail(.upstream(502, code: "bad_upstream_response", "the model server's answer is no HTTP: \(error)"))
        }
    }

    /// An answer that comes in pieces is read together with others where there are many.
    private func joinStreams() {
        guard place == nil, !isPaused, isInPieces, loop.streams.hasMany else { return }
        place = loop.streams.add(self, socket)
        guard place != nil else { return }
        loop.lookout.forget(socket)
        try? context?.channel.syncOptions?.setOption(.autoRead, value: false)
    }

    /// - Parameter readsOn: whether the channel reads instead.
    func leaveStreams(readsOn: Bool, isClosed: Bool = false) {
        guard let place else { return }
        self.place = nil
        loop.streams.remove(place, isClosed ? nil : socket)
        guard readsOn else { return }
        loop.lookout.expect(socket)
        try? context?.channel.syncOptions?.setOption(.autoRead, value: true)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let phase = phase
        self.phase = .closed
        isInPieces = false
        leaveStreams(readsOn: false, isClosed: true)
        loop.lookout.forget(socket)
        loop.forget(self)
        guard let receiver else { return }
        self.receiver = nil
        if case .untilClose = phase {
            receiver.upstreamEnded(isCertain: false)
        } else {
            receiver.upstreamFailed(
                .upstream(
                    502, code: "upstream_closed", "the model server closed the connection before its answer's end"),
                canRetry: true, isStale: isStale(in: phase))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(
            .upstream(502, code: "upstream_failed", "the connection to the model server failed"), canRetry: true,
            isStale: isStale(in: phase))
    }

    /// Whether the replica had closed the connection before it got the request.
    private func isStale(in phase: Phase) -> Bool {
        guard case .head = phase else { return false }
        return isReused && received.readableBytes == 0 && .now() - sentAt < Self.staleness
    }

    private func fail(_ error: GatewayError, canRetry: Bool = false, isStale: Bool = false) {
        let receiver = receiver
        self.receiver = nil
        close()
        receiver?.upstreamFailed(error, canRetry: canRetry, isStale: isStale)
    }

    private func read() throws(HTTPFault) {
        while received.readableBytes > 0 {
            switch phase {
            case .closed: return
            case .idle:
                // Nothing was asked: whatever this is, it belongs to no request.
                close()
                return
            case .head:
                guard try readHead() else { return }
            case .content(let left):
                guard let slice = received.readSlice(length: min(left, received.readableBytes)) else { return }
                let rest = left - slice.readableBytes
                phase = .content(left: rest)
                receiver?.upstreamContent(slice)
                if rest == 0 { finish() }
            case .chunks(var decoder):
                try readChunks(&decoder)
            case .untilClose:
                let slice = received
                received = ByteBuffer()
                receiver?.upstreamContent(slice)
            }
        }
    }

    /// - Returns: false while the head is incomplete.
    private func readHead() throws(HTTPFault) -> Bool {
        var result: Result<Bool, HTTPFault> = .success(false)
        received.withUnsafeReadableBytes { bytes in
            result = Result { () throws(HTTPFault) in
                guard try head.read(bytes, searched: &searched, limit: Self.headLimit) else { return false }
                // Informational answers come before the one that counts.
                if head.status >= 200 {
                    receiver?.upstreamHead(head, UnsafeRawBufferPointer(rebasing: bytes[..<head.length]))
                }
                return true
            }
        }
        guard try result.get() else { return false }
        received.moveReaderIndex(forwardBy: head.length)
        if case .closed = phase { return false }
        guard head.status >= 200 else {
            guard head.status != 101 else { throw HTTPFault(502, "it changes the protocol, unasked") }
            return true
        }
        switch head.framing {
        case .length(0): finish()
        case .length(let count): phase = .content(left: count)
        case .chunked:
            phase = .chunks(ChunkedDecoder())
            isInPieces = true
        case .untilClose: phase = .untilClose
        }
        return true
    }

    private func readChunks(_ decoder: inout ChunkedDecoder) throws(HTTPFault) {
        var consumed = 0
        let base = received.readerIndex
        while true {
            var result: Result<ChunkedDecoder.Part?, HTTPFault> = .success(nil)
            received.withUnsafeReadableBytes { bytes in
                result = Result { () throws(HTTPFault) in try decoder.next(bytes, at: &consumed) }
            }
            switch try result.get() {
            case .content(let range):
                if let slice = received.getSlice(at: base + range.lowerBound, length: range.count) {
                    receiver?.upstreamContent(slice)
                }
            case .end:
                received.moveReaderIndex(forwardBy: consumed)
                finish()
                return
            case nil:
                // Who got a part may have ended it.
                if case .closed = phase { return }
                // Whole, it is given back: the channel reads into it again.
                if consumed == received.readableBytes {
                    received = ByteBuffer()
                } else {
                    received.moveReaderIndex(forwardBy: consumed)
                }
                phase = .chunks(decoder)
                return
            }
        }
    }

    /// The answer has ended: the connection is free before anybody is told, so that the next request finds it.
    private func finish() {
        let receiver = receiver
        self.receiver = nil
        isInPieces = false
        resume()
        leaveStreams(readsOn: true)
        loop.lookout.forget(socket)
        if case .closed = phase { return }
        if head.keepsAlive, received.readableBytes == 0 {
            phase = .idle
            isReused = true
            idleSince = .now()
            loop.keep(self)
        } else {
            close()
        }
        receiver?.upstreamEnded(isCertain: true)
    }
}
