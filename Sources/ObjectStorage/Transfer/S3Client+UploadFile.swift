import Crypto
import HTTPTransport

/// Uploading files.
extension S3Client {
    /// Stores a file: in one PUT, or in parallel parts when it is larger than one part.
    ///
    /// Nothing of the file is held in memory. It is read twice, for its digests and for the upload, and must not
    /// change meanwhile: the store refuses bytes other than those announced. A failed or cancelled upload in
    /// parts is aborted.
    ///
    /// - Parameters:
    ///   - ifNoneMatch: as in `put`.
    ///   - progress: bytes stored so far, of all bytes; called from any thread, in order of growth.
    package func upload(
        file path: String, bucket: String, key: String, contentType: String = "application/octet-stream",
        metadata: [String: String] = [:], ifNoneMatch: Bool = false, progress: TransferProgress? = nil
    ) async throws -> StoredObject {
        do {
            let file = try InputFile(path: path)
            let plan = try TransferPlan(size: file.size, partSize: configuration.partSize)
            let digests = try await FileThreads.run { try await UploadDigests.compute(file, plan: plan) }
            let sha256 = Hex.encode(digests.whole)
            let report = ProgressReport(total: file.size, progress: progress)
            let result: S3PutResult
            if plan.isSingle {
                result = try await put(
                    file.size == 0 ? .none : .file(path: path, offset: 0, length: file.size), digest: digests.whole,
                    bucket: bucket, key: key, contentType: contentType, metadata: metadata, ifNoneMatch: ifNoneMatch,
                    persistence: .patience)
                report.add(file.size)
            } else {
                var metadata = metadata
                metadata[S3ObjectInfo.digestMetadata] = sha256
                let upload = try await MultipartUpload.create(
                    client: self, bucket: bucket, key: key, contentType: contentType, metadata: metadata)
                do {
                    let parts = try await send(upload, path: path, plan: plan, digests: digests.parts, report: report)
                    result = try await upload.complete(parts, ifNoneMatch: ifNoneMatch)
                } catch {
                    await upload.abort()
                    throw error
                }
            }
            return StoredObject(
                bucket: bucket, key: key, size: file.size, sha256: sha256, etag: result.etag,
                versionID: result.versionID)
        } catch {
            throw Self.explain(S3Error.wrap(error, bucket: bucket, key: key), file: path)
        }
    }

    private func send(
        _ upload: MultipartUpload, path: String, plan: TransferPlan, digests: [SHA256Digest], report: ProgressReport
    ) async throws -> [MultipartUpload.FinishedPart] {
        try await withThrowingTaskGroup(of: MultipartUpload.FinishedPart.self) { group in
            var finished: [MultipartUpload.FinishedPart] = []
            finished.reserveCapacity(plan.count)
            for index in 0..<plan.count {
                if index >= configuration.concurrency, let part = try await group.next() {
                    finished.append(part)
                    report.add(plan[part.number - 1].length)
                }
                let part = plan[index]
                let digest = digests[index]
                group.addTask {
                    try await upload.send(
                        .file(path: path, offset: part.offset, length: part.length), number: part.number,
                        digest: digest)
                }
            }
            for try await part in group {
                finished.append(part)
                report.add(plan[part.number - 1].length)
            }
            return finished
        }
    }

    /// A digest that the store finds wrong every time means that the file is being written to.
    private static func explain(_ error: any Error, file path: String) -> any Error {
        guard var error = error as? S3Error, error.code == .digestMismatch else { return error }
        error.message += "; do not change \(path) while it is uploaded"
        return error
    }
}

/// Bytes done so far and bytes in all.
package typealias TransferProgress = @Sendable (_ done: Int64, _ total: Int64) -> Void
