import Pipeline

/// The terms of the data, carried in the manifest of every dataset made from it.
package struct LicenceNote: Hashable, Sendable {
    package var name: String
    /// The whole text, where the licence asks for it in every copy.
    package var text: String?
    package var url: String?
    /// The copyright line.
    package var attribution: String?

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        guard let name = try reader.string("name"), !name.isEmpty else { throw reader.fault("name", "is required") }
        self.name = name
        text = try reader.string("text")
        url = try reader.string("url")
        attribution = try reader.string("attribution")
        try reader.finish()
    }

    var jsonValue: JSONValue {
        .object([
            "name": .string(name), "text": text.map(JSONValue.string) ?? .null,
            "url": url.map(JSONValue.string) ?? .null, "attribution": attribution.map(JSONValue.string) ?? .null,
        ])
    }
}
