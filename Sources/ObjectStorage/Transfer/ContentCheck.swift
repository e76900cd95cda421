/// Compares what was read with what should have been there.
struct ContentCheck: Sendable {
    let info: S3ObjectInfo
    let expecting: ExpectedContent?

    /// - Throws: `S3Error` with code `.digestMismatch` naming both digests, or `.objectChanged` for another size.
    func verify(size: Int64, sha256: String) throws {
        try verify(size: size)
        if let expected = expecting?.sha256, expected != sha256 {
            throw mismatch("the digest that the caller expects", expected: expected, found: sha256)
        }
        if let recorded = info.sha256, recorded != sha256 {
            throw mismatch("the digest recorded when the object was written", expected: recorded, found: sha256)
        }
    }

    func verify(size: Int64) throws {
        guard size == info.size, expecting?.size.map({ $0 == size }) ?? true else {
            throw S3Error(
                code: .objectChanged,
                message: "read \(size) bytes where \(expecting?.size ?? info.size) were expected; the object was "
                    + "replaced or cut short: write it again from its source",
                bucket: info.bucket, key: info.key)
        }
    }

    private func mismatch(_ whose: String, expected: String, found: String) -> S3Error {
        S3Error(
            code: .digestMismatch,
            message: "the content differs from \(whose): expected SHA-256 \(expected), found \(found); the object is "
                + "corrupt or was replaced: write it again from its source",
            bucket: info.bucket, key: info.key)
    }
}
