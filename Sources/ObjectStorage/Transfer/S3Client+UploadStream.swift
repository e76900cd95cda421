import Crypto
import HTTPTransport

/// Uploading what has no known length.
extension S3Client {
    /// Parts of a streamed upload in flight; with the one being filled they are all that is in memory.
    private static let streamedParts = 2
    /// The part size doubles after so many parts: 16 MiB to begin with reaches 5 TiB in fewer than 10,000.
    static let partsPerSize = 1200

    /// Stores a stream of chunks as they come, in one PUT if all of it fits into one part, in parts otherwise.
    ///
    /// Memory: three parts, whatever the length. Content in parts gets its digest into the metadata by a copy
    /// inside the store afterwards, since it is not known at the beginning; the object can be read before that,
    /// unverified. Past 5 GiB, which no store copies in one go, the digest is only in the result.
    ///
    /// - Throws: `S3Error`; with code `.source` and the stream's own error as `cause` when the stream throws.
    package func upload<Source: AsyncSequence & Sendable>(
        stream: Source, bucket: String, key: String, contentType: String = "application/octet-stream",
        metadata: [String: String] = [:], ifNoneMatch: Bool = false
    ) async throws -> StoredObject where Source.Element == [UInt8] {
        do {
            var filler = PartFiller(source: stream.makeAsyncIterator())
            let first = try await filler.next(size: Int(configuration.partSize))
            if filler.isAtEnd {
                let result = try await put(
                    .bytes(first), digest: SHA256.hash(data: first), bucket: bucket, key: key, contentType: contentType,
                    metadata: metadata, ifNoneMatch: ifNoneMatch, persistence: .patience)
                return StoredObject(
                    bucket: bucket, key: key, size: Int64(first.count), sha256: Hex.encode(filler.finish()),
                    etag: result.etag, versionID: result.versionID)
            }
            let upload = try await MultipartUpload.create(
                client: self, bucket: bucket, key: key, contentType: contentType, metadata: metadata)
            let result: S3PutResult
            do {
                let parts = try await send(upload, first: first, filler: &filler)
                result = try await upload.complete(parts, ifNoneMatch: ifNoneMatch)
            } catch {
                await upload.abort()
                throw error
            }
            let stored = StoredObject(
                bucket: bucket, key: key, size: filler.size, sha256: Hex.encode(filler.finish()), etag: result.etag,
                versionID: result.versionID)
            return try await record(stored, upload: upload, contentType: contentType, metadata: metadata)
        } catch {
            throw S3Error.wrap(error, bucket: bucket, key: key)
        }
    }

    private func send<Source>(
        _ upload: MultipartUpload, first: [UInt8], filler: inout PartFiller<Source>
    ) async throws -> [MultipartUpload.FinishedPart] {
        try await withThrowingTaskGroup(of: MultipartUpload.FinishedPart.self) { group in
            var finished: [MultipartUpload.FinishedPart] = []
            var bytes = first
            var number = 1
            var inFlight = 0
            while true {
                if inFlight == Self.streamedParts, let part = try await group.next() {
                    finished.append(part)
                    inFlight -= 1
                }
                let body = bytes
                let part = number
                group.addTask {
                    let digest = await FileThreads.run { SHA256.hash(data: body) }
                    return try await upload.send(.bytes(body), number: part, digest: digest)
                }
                inFlight += 1
                if filler.isAtEnd { break }
                bytes = try await filler.next(size: Self.partSize(number: part + 1, first: configuration.partSize))
                number += 1
            }
            for try await part in group { finished.append(part) }
            return finished
        }
    }

    /// - Throws: `S3Error` with code `.tooLarge` after 10,000 parts.
    static func partSize(number: Int, first: Int64) throws -> Int {
        guard number <= TransferPlan.mostParts else {
            throw S3Error(code: .tooLarge, message: "the stream needs more than S3's 10,000 parts")
        }
        return Int(min(first << Int64((number - 1) / partsPerSize), TransferPlan.largestPart))
    }

    /// Puts the digest into the metadata of an object that was written before it was known.
    private func record(
        _ stored: StoredObject, upload: MultipartUpload, contentType: String, metadata: [String: String]
    ) async throws -> StoredObject {
        guard stored.size <= 5 << 30 else { return stored }
        let source = try await existing(bucket: stored.bucket, key: stored.key)
        // Somebody has written the key since: the object is theirs, and ours was stored all the same.
        guard source.metadata[Self.writerMetadata] == upload.writer else { return stored }
        var metadata = metadata
        metadata[S3ObjectInfo.digestMetadata] = stored.sha256
        metadata[Self.writerMetadata] = upload.writer
        do {
            let result = try await copy(
                source, toBucket: stored.bucket, toKey: stored.key, replacing: (contentType, metadata))
            var stored = stored
            stored.etag = result.etag
            stored.versionID = result.versionID
            return stored
        } catch let error as S3Error where error.code == .objectChanged {
            return stored
        }
    }
}
