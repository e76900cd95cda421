/// Bytes in chunks of one size, and at the end, if wanted, an error.
struct ChunkSource: AsyncSequence, Sendable {
    struct Broken: Error {}
    typealias Element = [UInt8]

    let bytes: [UInt8]
    let chunk: Int
    var fails = false

    func makeAsyncIterator() -> Iterator { Iterator(source: self) }

    struct Iterator: AsyncIteratorProtocol {
        let source: ChunkSource
        var position = 0

        mutating func next() async throws -> [UInt8]? {
            guard position < source.bytes.count else {
                if source.fails { throw Broken() }
                return nil
            }
            let end = Swift.min(position + source.chunk, source.bytes.count)
            defer { position = end }
            return Array(source.bytes[position..<end])
        }
    }
}
