/// What the store says about an object.
package struct S3ObjectInfo: Sendable, Hashable {
    /// The name, without its `x-amz-meta-` prefix, of the metadata that holds the content's SHA-256.
    package static let digestMetadata = "martlet-sha256"

    package var bucket: String
    package var key: String
    /// Bytes of the whole object.
    package var size: Int64
    /// With its quotation marks, as sent.
    package var etag: String?
    package var versionID: String?
    package var contentType: String?
    /// `Last-Modified` as sent (RFC 9110 §5.6.7).
    package var lastModified: String?
    /// User metadata; names in lower case without their prefix.
    package var metadata: [String: String]

    /// SHA-256 of the content in lower-case hexadecimal, if whoever wrote the object left one.
    package var sha256: String? {
        metadata[Self.digestMetadata]?.lowercased()
    }
}
