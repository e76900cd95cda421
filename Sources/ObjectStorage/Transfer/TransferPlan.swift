/// How a body of known size is cut into parts, up or down. Limits: S3 user guide, "Multipart upload limits".
struct TransferPlan: Sendable, Hashable {
    static let smallestPart: Int64 = 5 << 20
    static let largestPart: Int64 = 5 << 30
    static let mostParts: Int64 = 10_000
    static let largestObject: Int64 = 5 << 40

    struct Part: Sendable, Hashable {
        /// Counted from 1, as S3 does.
        let number: Int
        let offset: Int64
        let length: Int64
    }

    let size: Int64
    let partSize: Int64

    /// One PUT carries it.
    var isSingle: Bool { size <= partSize }
    var count: Int { Int(max(1, (size + partSize - 1) / partSize)) }

    /// - Parameter partSize: the wish; doubled until 10,000 parts suffice.
    /// - Throws: `S3Error` with code `.tooLarge` past 5 TiB.
    init(size: Int64, partSize wish: Int64) throws {
        guard size <= Self.largestObject else {
            throw S3Error(code: .tooLarge, message: "\(size) bytes are more than the 5 TiB of an S3 object")
        }
        var partSize = wish
        while (size + partSize - 1) / partSize > Self.mostParts { partSize *= 2 }
        self.size = size
        self.partSize = partSize
    }

    /// The ranges of a download: any number of them.
    init(ranges size: Int64, rangeSize: Int64) {
        self.size = size
        partSize = rangeSize
    }

    /// - Parameter index: counted from 0.
    subscript(index: Int) -> Part {
        let offset = Int64(index) * partSize
        return Part(number: index + 1, offset: offset, length: min(partSize, size - offset))
    }
}
