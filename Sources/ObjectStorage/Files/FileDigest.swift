import Crypto

/// SHA-256 of a stretch of a file, read in blocks.
enum FileDigest {
    /// Large enough to keep calls rare, small enough to stay in the second-level cache.
    static let blockSize = 256 << 10

    /// - Throws: `FileError`, or `CancellationError` between blocks; `S3Error` with code `.localFile`
    ///   when the file is shorter than it was.
    static func sha256(of file: InputFile, offset: Int64, length: Int64) throws -> SHA256Digest {
        var hasher = SHA256()
        try update(&hasher, from: file, offset: offset, length: length)
        return hasher.finalize()
    }

    static func update(_ hasher: inout SHA256, from file: InputFile, offset: Int64, length: Int64) throws {
        try withUnsafeTemporaryAllocation(byteCount: blockSize, alignment: 64) { buffer in
            var position = offset
            let end = offset + length
            while position < end {
                try Task.checkCancellation()
                let wanted = min(Int64(blockSize), end - position)
                let block = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(wanted)])
                let count = try file.read(into: block, offset: position)
                guard count == block.count else {
                    throw S3Error(
                        code: .localFile,
                        message: "\(file.path) ends at byte \(position + Int64(count)) but had \(file.size) bytes when "
                            + "it was opened; do not change a file while it is transferred")
                }
                hasher.update(bufferPointer: UnsafeRawBufferPointer(block))
                position += wanted
            }
        }
    }
}
