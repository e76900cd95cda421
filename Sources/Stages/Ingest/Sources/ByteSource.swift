/// Where raw records come from: bytes in order, once.
package protocol ByteSource: Sendable {
    var metadata: SourceMetadata { get }
    /// The bytes from the start. Chunks may have any size; a good size is 64 KiB to 1 MiB.
    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable
}

/// What is known of a source before it is read.
package struct SourceMetadata: Hashable, Sendable {
    /// Goes into manifests and errors: it must hold no credentials and no signed query.
    package var uri: String
    /// In bytes; nil when the server does not say.
    package var size: Int64?
    /// The version of the content as the server names it: an ETag, or a modification time.
    package var validator: String?
    /// Such as `text/csv`; decides the format when the name does not.
    package var contentType: String?
    /// Where the bytes are made from others: what those were.
    var original: Original?

    /// A source as it lies there, before it is turned into text.
    struct Original: Hashable, Sendable {
        var bytes: Int64
        var sha256: String
    }

    package init(uri: String, size: Int64? = nil, validator: String? = nil, contentType: String? = nil) {
        self.uri = uri
        self.size = size
        self.validator = validator
        self.contentType = contentType
    }

    /// - Throws: `IngestError` with code `ingest.source_changed` when it is not as large as it was said to be.
    func check(read bytes: Int64) throws(IngestError) {
        guard let size, bytes != size else { return }
        throw IngestError(
            .sourceChanged,
            "\(uri) had \(size) bytes when it was opened, but \(bytes) were read: it was changed or cut short "
                + "meanwhile. Put new data under a new name.", isRetryable: true)
    }
}
