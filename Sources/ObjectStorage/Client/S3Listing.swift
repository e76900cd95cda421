/// A listing; every iteration starts afresh. A page is asked for when the one before is used up.
package struct S3Listing: AsyncSequence, Sendable {
    package typealias Element = S3ListPage

    let client: S3Client
    let bucket: String
    let prefix: String
    let delimiter: String?
    let pageSize: Int

    package func makeAsyncIterator() -> Iterator {
        Iterator(listing: self)
    }

    package struct Iterator: AsyncIteratorProtocol {
        private let listing: S3Listing
        private var token: String?
        private var isDone = false

        init(listing: S3Listing) {
            self.listing = listing
        }

        /// - Throws: `S3Error`; `CancellationError`.
        package mutating func next() async throws -> S3ListPage? {
            guard !isDone else { return nil }
            var query = [
                (name: "list-type", value: "2"), ("prefix", listing.prefix), ("encoding-type", "url"),
                ("max-keys", String(listing.pageSize)),
            ]
            if let delimiter = listing.delimiter { query.append(("delimiter", delimiter)) }
            if let token { query.append(("continuation-token", token)) }
            let answer = try await listing.client.exchange(
                S3Request(method: "GET", bucket: listing.bucket, query: query))
            let document = try answer.document("ListBucketResult")
            let next = document.text("NextContinuationToken").flatMap { $0.isEmpty ? nil : $0 }
            if document.text("IsTruncated") == "true" {
                guard let next, next != token else {
                    throw S3Error(
                        code: .badAnswer, message: "a listing goes on but names no new continuation token",
                        bucket: listing.bucket)
                }
                token = next
            } else {
                isDone = true
            }
            return try listing.page(document)
        }
    }

    private func page(_ document: XMLNode) throws -> S3ListPage {
        let isEncoded = document.text("EncodingType") == "url"
        let objects = try document.all("Contents").map { entry in
            guard let key = entry.text("Key"), let size = entry.text("Size").flatMap({ Int64($0) }) else {
                throw S3Error(code: .badAnswer, message: "an object is listed without key or size", bucket: bucket)
            }
            return S3ListPage.Object(
                key: try Self.name(key, isEncoded: isEncoded, bucket: bucket), size: size, etag: entry.text("ETag"),
                lastModified: entry.text("LastModified"))
        }
        let prefixes = try document.all("CommonPrefixes").map { entry in
            try Self.name(entry.text("Prefix") ?? "", isEncoded: isEncoded, bucket: bucket)
        }
        return S3ListPage(objects: objects, commonPrefixes: prefixes)
    }

    static func name(_ text: String, isEncoded: Bool, bucket: String) throws -> String {
        guard isEncoded else { return text }
        guard let name = S3URI.decodeListed(text) else {
            throw S3Error(code: .badAnswer, message: "a listed name is badly encoded: \(text)", bucket: bucket)
        }
        return name
    }
}
