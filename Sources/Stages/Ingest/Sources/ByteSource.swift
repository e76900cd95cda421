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

    package init(uri: String, size: Int64? = nil, validator: String? = nil, contentType: String? = nil) {
        self.uri = uri
        self.size = size
        self.validator = validator
        self.contentType = contentType
    }
}
