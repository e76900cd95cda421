/// What S3 accepts as the name of a bucket and of an object.
enum S3Names {
    /// - Throws: `S3Error` with code `.invalidRequest`.
    static func check(bucket: String) throws {
        let letters = bucket.utf8
        let isValid =
            (3...63).contains(letters.count)
            && letters.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
            }
            && letters.first != UInt8(ascii: "-") && letters.first != UInt8(ascii: ".")
            && letters.last != UInt8(ascii: "-") && letters.last != UInt8(ascii: ".")
            && !bucket.contains("..")
        guard isValid else {
            throw S3Error(
                code: .invalidRequest,
                message: "'\(bucket)' is not a bucket name: 3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at "
                    + "both ends, no two dots in a row")
        }
    }

    /// - Throws: `S3Error` with code `.invalidRequest`.
    static func check(key: String, bucket: String) throws {
        guard !key.isEmpty else {
            throw S3Error(code: .invalidRequest, message: "the key is empty; name an object", bucket: bucket)
        }
        guard key.utf8.count <= 1024 else {
            throw S3Error(
                code: .invalidRequest,
                message: "the key has \(key.utf8.count) bytes of UTF-8; S3 takes 1,024 at most", bucket: bucket,
                key: String(key.prefix(64)) + "…")
        }
        guard !key.utf8.contains(0) else {
            throw S3Error(code: .invalidRequest, message: "the key holds a NUL character", bucket: bucket)
        }
    }
}
