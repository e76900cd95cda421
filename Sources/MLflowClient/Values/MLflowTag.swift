/// A name and a text: tags and parameters alike.
package struct MLflowTag: Sendable, Hashable, Codable {
    package var key: String
    package var value: String

    package init(_ key: String, _ value: String) {
        self.key = key
        self.value = value
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        key = try container.decode(String.self, forKey: .key)
        // An empty text is left out of MLflow's answers.
        value = try container.decodeIfPresent(String.self, forKey: .value) ?? ""
    }
}

extension [MLflowTag] {
    init(_ tags: [String: String]) {
        self = tags.map { MLflowTag($0.key, $0.value) }.sorted { $0.key < $1.key }
    }

    /// The last value of each key.
    var dictionary: [String: String] {
        Dictionary(map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
    }
}
