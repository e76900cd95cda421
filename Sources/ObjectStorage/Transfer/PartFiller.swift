import Crypto

/// Cuts a stream of chunks of any size into parts of a given size, and hashes it on the way.
struct PartFiller<Source: AsyncIteratorProtocol> where Source.Element == [UInt8] {
    private var source: Source
    private var hasher = SHA256()
    /// What the last part did not need of its last chunk.
    private var leftover: ArraySlice<UInt8> = []
    private(set) var isAtEnd = false
    /// Bytes handed out.
    private(set) var size: Int64 = 0

    init(source: Source) {
        self.source = source
    }

    /// The next part: `size` bytes, or fewer at the end of the stream. When it returns, `isAtEnd` is known.
    /// - Throws: `S3Error` with code `.source`; `CancellationError`.
    mutating func next(size wanted: Int) async throws -> [UInt8] {
        var part: [UInt8] = []
        part.reserveCapacity(leftover.count < wanted ? min(wanted, 1 << 20) : wanted)
        part += leftover.prefix(wanted)
        leftover = leftover.dropFirst(wanted)
        // One chunk further than the part needs, since only that tells whether there is another part.
        while leftover.isEmpty, !isAtEnd {
            guard let chunk = try await pull() else {
                isAtEnd = true
                break
            }
            let taken = chunk.prefix(wanted - part.count)
            part += taken
            leftover = chunk[taken.endIndex...]
        }
        hasher.update(data: part)
        size += Int64(part.count)
        return part
    }

    /// SHA-256 of everything handed out.
    func finish() -> SHA256Digest {
        hasher.finalize()
    }

    private mutating func pull() async throws -> [UInt8]? {
        do {
            try Task.checkCancellation()
            return try await source.next(isolation: nil)
        } catch let error as CancellationError {
            throw error
        } catch {
            throw S3Error(code: .source, message: "the stream that was being uploaded failed: \(error)", cause: error)
        }
    }
}
