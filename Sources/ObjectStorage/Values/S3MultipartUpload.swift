/// An upload in parts that was begun and neither completed nor aborted.
package struct S3MultipartUpload: Sendable, Hashable {
    package var key: String
    package var uploadID: String
    /// ISO 8601, UTC, as sent.
    package var initiated: String?
}
