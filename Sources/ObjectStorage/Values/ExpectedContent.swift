/// What a reader knows of an object's content beforehand.
package struct ExpectedContent: Sendable, Hashable {
    /// Bytes; nil: any.
    package var size: Int64?
    /// SHA-256 in hexadecimal; nil: whatever the object's own metadata says.
    package var sha256: String?

    package init(size: Int64? = nil, sha256: String? = nil) {
        self.size = size
        self.sha256 = sha256?.lowercased()
    }
}
