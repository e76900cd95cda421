/// A named collection of runs.
package struct MLflowExperiment: Sendable, Hashable, Decodable {
    package var id: String
    package var name: String
    package var artifactLocation: String
    /// Deleted experiments keep their name until they are purged.
    package var isDeleted: Bool
    package var tags: [String: String]

    private enum CodingKeys: String, CodingKey {
        case experimentId, name, artifactLocation, lifecycleStage, tags
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .experimentId)
        name = try container.decodeIfPresent(String.self, forKey: .name) ?? ""
        artifactLocation = try container.decodeIfPresent(String.self, forKey: .artifactLocation) ?? ""
        isDeleted = try container.decodeIfPresent(String.self, forKey: .lifecycleStage) == "deleted"
        tags = try container.decodeIfPresent([MLflowTag].self, forKey: .tags)?.dictionary ?? [:]
    }
}
