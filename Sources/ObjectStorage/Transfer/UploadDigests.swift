import Crypto

/// The digests that an upload announces: the whole file's in the object's metadata, each part's with the part.
struct UploadDigests: Sendable {
    let whole: SHA256Digest
    let parts: [SHA256Digest]

    /// Walks the file once, part by part. The two digests of a part are computed on two threads at the same time, so
    /// that the second finds the bytes in memory.
    static func compute(_ file: InputFile, plan: TransferPlan) async throws -> UploadDigests {
        guard !plan.isSingle else {
            let digest = try FileDigest.sha256(of: file, offset: 0, length: plan.size)
            return UploadDigests(whole: digest, parts: [digest])
        }
        var hasher = SHA256()
        var parts: [SHA256Digest] = []
        parts.reserveCapacity(plan.count)
        for index in 0..<plan.count {
            let part = plan[index]
            async let digest = FileDigest.sha256(of: file, offset: part.offset, length: part.length)
            try FileDigest.update(&hasher, from: file, offset: part.offset, length: part.length)
            parts.append(try await digest)
        }
        return UploadDigests(whole: hasher.finalize(), parts: parts)
    }
}
