/// Where a published manifest is, and the digest by which a reader knows it for what was published.
package struct ManifestLocation: Sendable, Hashable, Codable {
    package var bucket: String
    package var key: String
    /// SHA-256 of the manifest's bytes, in lower-case hexadecimal.
    package var sha256: String

    package init(bucket: String, key: String, sha256: String) {
        self.bucket = bucket
        self.key = key
        self.sha256 = sha256
    }
}
