import ObjectStorage
import Pipeline

/// The bytes of a batch's answers, or of its errors, one part after another.
struct JoinedParts: AsyncSequence, Sendable {
    typealias Element = [UInt8]

    enum Piece: Sendable {
        /// What a part wrote.
        case object(String)
        /// A part that was never asked: an error for each of its lines.
        case unanswered(BatchPart, code: String)
    }

    let pieces: [Piece]
    let batch: Batch
    let store: BatchStore

    func makeAsyncIterator() -> Iterator { Iterator(joined: self) }

    struct Iterator: AsyncIteratorProtocol {
        private let joined: JoinedParts
        private var next = 0
        private var object: S3ObjectStream.Iterator?

        init(joined: JoinedParts) {
            self.joined = joined
        }

        mutating func next() async throws -> [UInt8]? {
            while true {
                if var current = object {
                    let piece = try await current.next()
                    object = piece == nil ? nil : current
                    if let piece { return piece }
                }
                guard next < joined.pieces.count else { return nil }
                let piece = joined.pieces[next]
                next += 1
                let (store, batch) = (joined.store, joined.batch)
                switch piece {
                case .object(let key):
                    object = try await store.client.stream(bucket: store.bucket, key: key).makeAsyncIterator()
                case .unanswered(let part, let code):
                    let lines = try await store.lines(of: part, in: batch)
                    return lines.reduce(into: []) { bytes, line in
                        bytes += BatchAnswer.unasked(line, batch: batch, code: code).line(of: line, in: batch)
                    }
                }
            }
        }
    }
}
