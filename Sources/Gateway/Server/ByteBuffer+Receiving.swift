import NIOCore

extension ByteBuffer {
    /// Bytes that were read and may stay in front of the others.
    private static let readLimit = 16_384

    /// Puts what was received behind what is left.
    ///
    /// A buffer never drops by itself what was read from it: on a connection that always leaves the beginning of something it
    /// would keep everything that ever came.
    mutating func receive(_ bytes: ByteBuffer) {
        guard readableBytes > 0 else {
            self = bytes
            return
        }
        if readerIndex > max(Self.readLimit, readableBytes) { discardReadBytes() }
        writeImmutableBuffer(bytes)
    }
}
