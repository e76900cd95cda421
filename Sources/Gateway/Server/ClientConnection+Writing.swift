import Glibc
import NIOCore

/// What goes to the client: short pieces to its socket, the rest through the channel.
extension ClientConnection {
    /// Bytes up to which what is written goes in one piece, as the head and the content of a short answer do.
    static let pieceLimit = 4_096
    /// Bytes of memory that a connection keeps from one piece of a stream to the next.
    private static let keptLimit = 1_024

    private static let sendFlags = CInt(MSG_NOSIGNAL | MSG_DONTWAIT)

    /// Goes out with the next flush, at the latest.
    func write(_ buffer: ByteBuffer) {
        let isShort = buffer.readableBytes <= Self.pieceLimit
        if !isShort || piece.readableBytes + buffer.readableBytes > Self.pieceLimit { writePiece() }
        guard isShort else {
            writeToChannel(buffer)
            return
        }
        if piece.readableBytes == 0 { piece = buffer } else { piece.writeImmutableBuffer(buffer) }
    }

    /// Writes what `body` puts into an empty buffer: into memory that is there from the last piece, where that can be.
    /// - Parameter size: bytes that it is expected to have.
    func write(about size: Int, _ body: (inout ByteBuffer) -> Void) {
        guard piece.readableBytes == 0, size <= Self.pieceLimit else {
            var out = allocator.buffer(capacity: size)
            body(&out)
            if out.readableBytes > 0 { write(out) }
            return
        }
        if piece.storageCapacity < size { piece = allocator.buffer(capacity: size) }
        body(&piece)
        if piece.readableBytes > Self.pieceLimit {
            // It was expected to be less: the client's slowness is to be seen at once.
            writePiece()
        } else if piece.readableBytes == 0, piece.storageCapacity > Self.keptLimit {
            piece = ByteBuffer()
        }
    }

    /// A connection that waits for a request keeps no memory for its answer.
    func forgetPiece() {
        if piece.readableBytes == 0 { piece = ByteBuffer() }
    }

    private func writePiece() {
        guard piece.readableBytes > 0 else { return }
        let whole = piece
        piece = ByteBuffer()
        writeToChannel(whole)
    }

    private func writeToChannel(_ buffer: ByteBuffer) {
        channelHolds = true
        context?.write(wrapOutboundOut(buffer), promise: nil)
    }

    func writeStatic(_ text: StaticString) {
        var out = allocator.buffer(capacity: text.utf8CodeUnitCount)
        out.writeStaticString(text)
        write(out)
    }

    /// Flushes at once with few requests in hand, else together with others.
    func flushSoon() {
        guard !isFlushedSoon else { return }
        guard !loop.lookout.hasFew else { return flush() }
        isFlushedSoon = true
        loop.flushSoon(self)
    }

    func flush() {
        isFlushedSoon = false
        if channelHolds { channelHolds = unsentBytes != nil }
        if !channelHolds { sendPiece() }
        guard piece.readableBytes > 0 || channelHolds else { return }
        writePiece()
        context?.flush()
    }

    /// Gives the piece to the socket itself, as far as that takes it: the channel's queue takes a tenth of the time that a
    /// chunk of a stream does. The channel gets the rest, and finds out what is wrong with the socket.
    private func sendPiece() {
        guard isOpen, piece.readableBytes > 0 else { return }
        let count = piece.withUnsafeReadableBytes { send(socket, $0.baseAddress, $0.count, Self.sendFlags) }
        guard count > 0 else { return }
        piece.moveReaderIndex(forwardBy: count)
        guard piece.readableBytes == 0 else { return }
        if piece.storageCapacity <= Self.keptLimit { piece.clear() } else { piece = ByteBuffer() }
    }
}
