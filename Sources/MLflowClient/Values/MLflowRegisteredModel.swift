/// A name in the model registry.
package struct MLflowRegisteredModel: Sendable, Hashable, Decodable {
    package var name: String
    package var description: String
    package var tags: [String: String]
    /// Version by alias.
    package var aliases: [String: String]

    private enum CodingKeys: String, CodingKey { case name, description, tags, aliases }
    private struct Alias: Decodable {
        let alias: String
        let version: String
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        description = try container.decodeIfPresent(String.self, forKey: .description) ?? ""
        tags = try container.decodeIfPresent([MLflowTag].self, forKey: .tags)?.dictionary ?? [:]
        let listed = try container.decodeIfPresent([Alias].self, forKey: .aliases) ?? []
        aliases = Dictionary(listed.map { ($0.alias, $0.version) }, uniquingKeysWith: { $1 })
    }
}
