import Crypto
package import ObjectStorage
import Pipeline

/// Where the bytes of files and of batches' parts lie in the object store.
package struct BatchStore: Sendable {
    let client: S3Client
    let bucket: String

    package init(client: S3Client, bucket: String) {
        self.client = client
        self.bucket = bucket
    }

    func key(file id: String) -> String { "batches/files/\(id)" }

    func prefix(batch id: String) -> String { "batches/parts/\(id)/" }

    /// - Parameter attempt: one who was too late writes under a number of its own.
    func key(batch id: String, part: Int, attempt: Int, isErrors: Bool) -> String {
        "\(prefix(batch: id))\(part)-\(attempt).\(isErrors ? "errors" : "output").jsonl"
    }

    static func newID(_ prefix: String) -> String {
        prefix + Hex.encode((0..<16).map { _ in UInt8.random(in: 0...255) })
    }

    /// The id of a file that a batch writes: the same however often it is put together.
    static func outputID(batch: String, isErrors: Bool) -> String {
        "file-" + Hex.encode(SHA256.hash(data: Array("\(batch) \(isErrors)".utf8))).prefix(32)
    }
}
