/// A stretch of an object, as `Range` says it (RFC 9110 §14.1.2).
package enum S3ByteRange: Sendable, Hashable {
    /// `count` bytes from `offset`; `count` is at least 1.
    case bytes(offset: Int64, count: Int64)
    /// Everything from the offset on.
    case from(Int64)
    /// The last bytes.
    case last(Int64)

    var header: String {
        switch self {
        case .bytes(let offset, let count): "bytes=\(offset)-\(offset + count - 1)"
        case .from(let offset): "bytes=\(offset)-"
        case .last(let count): "bytes=-\(count)"
        }
    }

    /// - Throws: `S3Error` with code `.invalidRequest`.
    func validate() throws {
        let isValid =
            switch self {
            case .bytes(let offset, let count): offset >= 0 && count >= 1 && offset <= Int64.max - count
            case .from(let offset): offset >= 0
            case .last(let count): count >= 1
            }
        guard isValid else {
            throw S3Error(code: .invalidRequest, message: "\(self) is not a range: offsets from 0, counts from 1")
        }
    }
}
