import Crypto
import HTTPTransport
import Synchronization

/// Downloading into files.
extension S3Client {
    /// Reads an object into a file, in parallel ranges when it is larger than one part.
    ///
    /// The file appears under its name complete and verified, or not at all. The digest is computed from what was
    /// written, while the ranges arrive. A range that fails is asked for again; when the object is replaced in the
    /// middle, `S3Error` with code `.objectChanged` says so.
    ///
    /// - Parameters:
    ///   - expecting: size and digest, where the caller knows them; the digest in the object's metadata is
    ///     checked in any case.
    ///   - progress: bytes written so far, of all bytes.
    @discardableResult
    package func download(
        bucket: String, key: String, toFile path: String, expecting: ExpectedContent? = nil,
        progress: TransferProgress? = nil
    ) async throws -> StoredObject {
        do {
            let info = try await existing(bucket: bucket, key: key)
            let check = ContentCheck(info: info, expecting: expecting)
            // A wrong size is known before the first byte.
            try check.verify(size: info.size)
            let plan = TransferPlan(ranges: info.size, rangeSize: configuration.partSize)
            let file = try OutputFile(destination: path)
            try await FileThreads.run { try file.reserve(info.size) }
            let report = ProgressReport(total: info.size, progress: progress)
            let digest = try await fetch(info, into: file, plan: plan, report: report)
            try check.verify(size: info.size, sha256: Hex.encode(digest))
            try await FileThreads.run { try file.commit(size: info.size) }
            return StoredObject(
                bucket: bucket, key: key, size: info.size, sha256: Hex.encode(digest), etag: info.etag,
                versionID: info.versionID)
        } catch {
            throw S3Error.wrap(error, bucket: bucket, key: key)
        }
    }

    private func fetch(
        _ info: S3ObjectInfo, into file: OutputFile, plan: TransferPlan, report: ProgressReport
    ) async throws -> SHA256Digest {
        guard info.size > 0 else { return SHA256().finalize() }
        let (finished, continuation) = AsyncStream.makeStream(of: Int.self)
        return try await withThrowingTaskGroup(of: Int.self, returning: SHA256Digest.self) { group in
            // Follows the ranges in their order; the bytes it reads back are still in the page cache.
            async let digest = FileThreads.run {
                let input = try file.reopen()
                var hasher = SHA256()
                for await index in finished {
                    let part = plan[index]
                    try FileDigest.update(&hasher, from: input, offset: part.offset, length: part.length)
                }
                try Task.checkCancellation()
                return hasher.finalize()
            }
            defer { continuation.finish() }
            var order = InOrder()
            for index in 0..<plan.count {
                if index >= configuration.concurrency, let done = try await group.next() {
                    report.add(plan[done].length)
                    for ready in order.insert(done) { continuation.yield(ready) }
                }
                let part = plan[index]
                group.addTask {
                    try await self.fetch(part, of: info, into: file)
                    return index
                }
            }
            for try await done in group {
                report.add(plan[done].length)
                for ready in order.insert(done) { continuation.yield(ready) }
            }
            continuation.finish()
            return try await digest
        }
    }

    private func fetch(_ part: TransferPlan.Part, of info: S3ObjectInfo, into file: OutputFile) async throws {
        var request = S3Request(method: "GET", bucket: info.bucket, key: info.key)
        let range = S3ByteRange.bytes(offset: part.offset, count: part.length)
        let isWhole = part.offset == 0 && part.length == info.size
        if !isWhole { request.headers.append(("Range", range.header)) }
        if let etag = info.etag { request.headers.append(("If-Match", etag)) }
        let prepared = request
        try await retrying(bucket: info.bucket, key: info.key, persistence: .patience) {
            let result: HTTPDownload
            do {
                result = try await self.transport.download(
                    self.signed(prepared),
                    to: HTTPFileDestination(
                        descriptor: file.descriptor, offset: part.offset, maximumLength: part.length))
            } catch {
                throw S3Error.wrap(error, bucket: info.bucket, key: info.key)
            }
            guard result.isWritten else {
                guard !(200..<300).contains(result.status) else {
                    throw S3Error(
                        code: .badAnswer,
                        message: "the store answered \(result.status) to a request for \(range.header); it does not "
                            + "do ranges, or a proxy is in between", bucket: info.bucket, key: info.key)
                }
                let error = self.refusal(
                    status: result.status, headers: result.headers, body: result.errorBody, of: prepared)
                throw error.code == .preconditionFailed ? Self.changed(error) : error
            }
            guard result.bytesWritten == part.length else {
                throw S3Error(
                    code: .unreachable,
                    message: "\(range.header) brought \(result.bytesWritten) of \(part.length) bytes",
                    bucket: info.bucket, key: info.key, isRetryable: true)
            }
        }
    }
}
