/// A version of a registered model.
package struct MLflowModelVersion: Sendable, Hashable, Decodable {
    package var name: String
    /// A counter, as text.
    package var version: String
    /// Where the model's files are.
    package var source: String
    /// Not checked by MLflow: it may name no run at all.
    package var runID: String
    /// `READY`, `PENDING_REGISTRATION` or `FAILED_REGISTRATION`.
    package var status: String
    package var description: String
    /// Milliseconds since 1970, UTC.
    package var createdAt: Int64?
    package var tags: [String: String]
    /// Filled in when the version is read by itself; a search leaves it empty.
    package var aliases: [String]

    private enum CodingKeys: String, CodingKey {
        case name, version, source, runId, status, description, creationTimestamp, tags, aliases
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        if let number = try? container.decode(Int.self, forKey: .version) {
            version = String(number)
        } else {
            version = try container.decode(String.self, forKey: .version)
        }
        source = try container.decodeIfPresent(String.self, forKey: .source) ?? ""
        runID = try container.decodeIfPresent(String.self, forKey: .runId) ?? ""
        status = try container.decodeIfPresent(String.self, forKey: .status) ?? "READY"
        description = try container.decodeIfPresent(String.self, forKey: .description) ?? ""
        createdAt = try container.integer(.creationTimestamp)
        tags = try container.decodeIfPresent([MLflowTag].self, forKey: .tags)?.dictionary ?? [:]
        aliases = try container.decodeIfPresent([String].self, forKey: .aliases) ?? []
    }
}
