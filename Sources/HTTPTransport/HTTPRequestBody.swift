/// What a request carries. `bytes` and `file` can be sent again as they are; a `stream` only through its factory.
package enum HTTPRequestBody: Sendable {
    /// No body; methods that define one (POST, PUT, PATCH) say `Content-Length: 0`.
    case none

    case bytes([UInt8])

    /// `length` bytes of the file from `offset`; read on the transport's thread, never held in memory.
    case file(path: String, offset: Int64, length: Int64)

    /// Chunks as they come; without a length the body is sent chunked. The factory is called once per attempt.
    case stream(length: Int64?, @Sendable () -> any AsyncSequence<[UInt8], any Error> & Sendable)

    /// Bytes promised to the server; `nil` when only the end of the stream will tell.
    var length: Int64? {
        switch self {
        case .none: 0
        case .bytes(let bytes): Int64(bytes.count)
        case .file(_, _, let length): length
        case .stream(let length, _): length
        }
    }
}
