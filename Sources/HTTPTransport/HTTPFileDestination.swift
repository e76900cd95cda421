/// Where `HTTPTransport.download` puts a body: straight from the socket's buffer into a file, without an async hop.
package struct HTTPFileDestination: Sendable {
    /// Open for writing; stays the caller's, who closes it after the call.
    package var descriptor: Int32

    /// Byte of the file where the body begins.
    package var offset: Int64

    /// Bytes that may be written; a longer body is an error.
    package var maximumLength: Int64

    /// Sees every piece in order, before it is written, on the transport's thread: for a running digest. Must not block.
    package var observe: (@Sendable (UnsafeRawBufferPointer) -> Void)?

    /// Whether an answer's body belongs into the file. By default 206 where the request has a `Range`, otherwise 200.
    package var accepts: (@Sendable (_ status: Int, _ headers: HTTPHeaders) -> Bool)?

    package init(
        descriptor: Int32, offset: Int64 = 0, maximumLength: Int64 = .max,
        observe: (@Sendable (UnsafeRawBufferPointer) -> Void)? = nil,
        accepts: (@Sendable (_ status: Int, _ headers: HTTPHeaders) -> Bool)? = nil
    ) {
        self.descriptor = descriptor
        self.offset = offset
        self.maximumLength = maximumLength
        self.observe = observe
        self.accepts = accepts
    }
}

/// What came of a download.
package struct HTTPDownload: Sendable {
    package let status: Int
    package let headers: HTTPHeaders

    /// The answer was accepted and is in the file.
    package let isWritten: Bool

    package let bytesWritten: Int64

    /// The beginning (64 KiB at most) of an answer that was not accepted.
    package let errorBody: [UInt8]
}
