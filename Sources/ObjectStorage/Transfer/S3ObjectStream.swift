import Crypto
import HTTPTransport

/// An object's bytes as they come; the digest is verified at the end, and a mismatch is thrown there.
///
/// A connection that breaks is replaced by one that goes on at the same byte of the same object. Nothing is read
/// ahead of the consumer beyond the transport's buffer. Can be read once.
package struct S3ObjectStream: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    /// Size and metadata of the whole object.
    package let info: S3ObjectInfo
    let client: S3Client
    let response: HTTPResponse
    let range: S3ByteRange?
    let expecting: ExpectedContent?

    package func makeAsyncIterator() -> Iterator {
        Iterator(stream: self)
    }

    package struct Iterator: AsyncIteratorProtocol {
        private let stream: S3ObjectStream
        private var body: HTTPResponseBody.Iterator
        private var hasher = SHA256()
        /// Next byte of the object.
        private var position: Int64
        private let start: Int64
        /// One past the last byte to read.
        private let end: Int64
        private var isDone = false

        init(stream: S3ObjectStream) {
            self.stream = stream
            body = stream.response.body.makeAsyncIterator()
            let size = stream.info.size
            switch stream.range {
            case nil: (start, end) = (0, size)
            case .bytes(let offset, let count): (start, end) = (offset, Swift.min(size, offset + count))
            case .from(let offset): (start, end) = (offset, size)
            case .last(let count): (start, end) = (Swift.max(0, size - count), size)
            }
            position = start
        }

        /// - Throws: `S3Error`, with code `.digestMismatch` after the last byte of a corrupt object;
        ///   `CancellationError`.
        package mutating func next() async throws -> [UInt8]? {
            guard !isDone else { return nil }
            while true {
                do {
                    guard let chunk = try await body.next() else { break }
                    guard !chunk.isEmpty else { continue }
                    position += Int64(chunk.count)
                    guard position <= end else {
                        throw S3Error(code: .badAnswer, message: "the store sent more bytes than it announced")
                    }
                    if stream.range == nil { hasher.update(data: chunk) }
                    return chunk
                } catch {
                    let info = stream.info
                    let failure = S3Error.wrap(error, bucket: info.bucket, key: info.key)
                    guard let failure = failure as? S3Error, failure.isRetryable, position < end else {
                        isDone = true
                        throw failure
                    }
                    body = try await resume().makeAsyncIterator()
                }
            }
            isDone = true
            let check = ContentCheck(info: stream.info, expecting: stream.expecting)
            guard stream.range == nil else {
                if position < end { try check.verify(size: position - start) }
                return nil
            }
            try check.verify(size: position, sha256: Hex.encode(hasher.finalize()))
            return nil
        }

        private func resume() async throws -> HTTPResponseBody {
            let info = stream.info
            let rest = S3ByteRange.bytes(offset: position, count: end - position)
            return try await stream.client.retrying(bucket: info.bucket, key: info.key, persistence: .patience) {
                try await stream.client.open(bucket: info.bucket, key: info.key, range: rest, etag: info.etag)
                    .response.body
            }
        }
    }
}

extension S3Client {
    /// Opens an object for reading from its beginning, or a stretch of it.
    package func stream(
        bucket: String, key: String, range: S3ByteRange? = nil, expecting: ExpectedContent? = nil
    ) async throws -> S3ObjectStream {
        try range?.validate()
        let (response, info) = try await retrying(bucket: bucket, key: key) {
            try await self.open(bucket: bucket, key: key, range: range)
        }
        return S3ObjectStream(info: info, client: self, response: response, range: range, expecting: expecting)
    }
}
