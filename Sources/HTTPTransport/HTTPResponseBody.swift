/// The bytes of an answer, in chunks as large as what had arrived. Can be read once.
///
/// While nobody reads, at most `streamBufferSize` bytes wait in memory and the socket is left unread. Dropping the
/// body (and its iterator) or cancelling the reading task aborts the call and closes its connection.
package struct HTTPResponseBody: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    let lease: TransferLease

    package func makeAsyncIterator() -> Iterator {
        Iterator(lease: lease)
    }

    package struct Iterator: AsyncIteratorProtocol {
        let lease: TransferLease

        /// - Throws: `HTTPError` when the body is cut short, stalls or is too large; `CancellationError`.
        package mutating func next() async throws -> [UInt8]? {
            try await lease.next()
        }
    }

    /// The whole body.
    /// - Parameter limit: bytes; a larger body is an error and aborts the call.
    package func collect(upTo limit: Int) async throws -> [UInt8] {
        var whole: [UInt8] = []
        while let chunk = try await lease.next() {
            guard whole.count + chunk.count <= limit else {
                throw HTTPError(
                    code: .bodyTooLarge,
                    message: "the answer of \(lease.display) is larger than the \(limit) bytes allowed here")
            }
            if whole.isEmpty {
                whole = chunk
            } else {
                whole += chunk
            }
        }
        return whole
    }

    /// At most the first `limit` bytes, for error messages; the rest is not read.
    package func prefix(bytes limit: Int) async throws -> [UInt8] {
        var start: [UInt8] = []
        while start.count < limit, let chunk = try await lease.next() {
            start += chunk.prefix(limit - start.count)
        }
        return start
    }
}
