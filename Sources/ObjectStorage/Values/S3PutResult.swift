/// What the store says about an object that it has just taken.
package struct S3PutResult: Sendable, Hashable {
    /// With its quotation marks, as sent.
    package var etag: String?
    /// In versioned buckets.
    package var versionID: String?

    package init(etag: String?, versionID: String?) {
        self.etag = etag
        self.versionID = versionID
    }
}
