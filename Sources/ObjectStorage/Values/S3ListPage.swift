/// One page of a listing: up to 1,000 names, in the store's order.
package struct S3ListPage: Sendable, Hashable {
    package struct Object: Sendable, Hashable {
        package var key: String
        /// Bytes.
        package var size: Int64
        package var etag: String?
        /// ISO 8601, UTC, as sent.
        package var lastModified: String?
    }

    package var objects: [Object]
    /// With a delimiter: what stands before its first occurrence after the prefix, itself included.
    package var commonPrefixes: [String]
}
