import ObjectStorage

/// An object in the worker's S3 store.
struct S3ByteSource: ByteSource {
    let metadata: SourceMetadata
    private let storage: S3Client
    private let bucket: String
    private let key: String

    /// Asks the store for the object's size and tag.
    ///
    /// - Parameter uri: `s3://bucket/key`; the key is taken as it stands.
    init(uri: String, storage: S3Client) async throws {
        let rest = uri.dropFirst("s3://".count)
        guard uri.lowercased().hasPrefix("s3://"), let slash = rest.firstIndex(of: "/"), slash != rest.startIndex,
            rest.index(after: slash) != rest.endIndex
        else {
            throw IngestError(.invalidParameters, "\"\(uri.prefix(200))\" must be s3://BUCKET/KEY.")
        }
        bucket = String(rest[..<slash])
        key = String(rest[rest.index(after: slash)...])
        self.storage = storage
        guard let info = try await storage.head(bucket: bucket, key: key) else {
            guard try await storage.bucketExists(bucket) else {
                throw IngestError(
                    .sourceNotFound, "\(uri): the bucket \"\(bucket)\" does not exist. Correct its name or create it.")
            }
            throw IngestError(.sourceNotFound, "\(uri): no such object in the bucket \"\(bucket)\". Check the key.")
        }
        metadata = SourceMetadata(
            uri: uri, size: info.size, validator: info.etag, contentType: info.contentType)
    }

    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable {
        let stream = try await storage.stream(bucket: bucket, key: key)
        guard stream.info.etag == metadata.validator else {
            throw IngestError(
                .sourceChanged,
                "\(metadata.uri) was replaced while it was being opened. Put new data under a new name.",
                isRetryable: true)
        }
        return ErasedChunks(stream)
    }
}
