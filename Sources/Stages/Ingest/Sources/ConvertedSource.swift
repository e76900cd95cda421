/// A source whose bytes were turned into JSON lines; it keeps the name, the validator and the digest of the original.
struct ConvertedSource: ByteSource {
    let metadata: SourceMetadata
    private let file: FileByteSource

    init(file: FileByteSource, original: SourceMetadata, bytes: Int64, sha256: String) {
        self.file = file
        var metadata = original
        metadata.size = file.metadata.size
        metadata.contentType = "application/x-ndjson"
        metadata.original = SourceMetadata.Original(bytes: bytes, sha256: sha256)
        self.metadata = metadata
    }

    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable {
        try await file.chunks()
    }
}
