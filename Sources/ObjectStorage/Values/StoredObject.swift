/// An object together with the digest of its content, computed here from the bytes that were sent or received.
package struct StoredObject: Sendable, Hashable {
    package var bucket: String
    package var key: String
    /// Bytes.
    package var size: Int64
    /// SHA-256 in lower-case hexadecimal.
    package var sha256: String
    package var etag: String?
    package var versionID: String?

    package init(
        bucket: String, key: String, size: Int64, sha256: String, etag: String? = nil, versionID: String? = nil
    ) {
        self.bucket = bucket
        self.key = key
        self.size = size
        self.sha256 = sha256
        self.etag = etag
        self.versionID = versionID
    }
}
