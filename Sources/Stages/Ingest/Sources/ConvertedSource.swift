/// A source whose bytes were turned into JSON lines; it keeps the name and the validator of the original.
struct ConvertedSource: ByteSource {
    let metadata: SourceMetadata
    private let file: FileByteSource

    init(file: FileByteSource, original: SourceMetadata) {
        self.file = file
        metadata = SourceMetadata(
            uri: original.uri, size: file.metadata.size, validator: original.validator,
            contentType: "application/x-ndjson")
    }

    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable {
        try await file.chunks()
    }
}
