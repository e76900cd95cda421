/// The one spelling of a request that client and server both hash.
package struct CanonicalRequest: Sendable {
    /// The text whose SHA-256 is signed.
    package let text: String
    /// The names of the signed headers, lower-case, sorted, joined by `;`.
    package let signedHeaders: String

    /// Parameters as in `SigV4Signer.authorization`.
    package init(
        method: String, path: String, query: [(name: String, value: String)],
        headers: [(name: String, value: String)], payloadHash: String
    ) {
        let merged = Self.merge(headers)
        signedHeaders = merged.map(\.name).joined(separator: ";")
        text =
            "\(method)\n\(path)\n\(S3URI.canonicalQuery(query))\n"
            + merged.map { "\($0.name):\($0.value)\n" }.joined() + "\n\(signedHeaders)\n\(payloadHash)"
    }

    package static func signedHeaders(of headers: [(name: String, value: String)]) -> String {
        merge(headers).map(\.name).joined(separator: ";")
    }

    /// Lower-case names in order; the values of a repeated header joined by commas in their order.
    private static func merge(_ headers: [(name: String, value: String)]) -> [(name: String, value: String)] {
        var values: [String: [String]] = [:]
        for header in headers {
            values[header.name.lowercased(), default: []].append(collapse(header.value))
        }
        return values.map { ($0.key, $0.value.joined(separator: ",")) }
            .sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
    }

    /// Trims the value and folds every run of blanks into one space.
    private static func collapse(_ value: String) -> String {
        value.utf8.split(whereSeparator: { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") })
            .map { String(decoding: $0, as: UTF8.self) }
            .joined(separator: " ")
    }
}
