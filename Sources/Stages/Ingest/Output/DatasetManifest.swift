import Crypto
package import Pipeline

/// `dataset.json`: what a dataset version is made of and where it came from.
package struct DatasetManifest: Hashable, Sendable {
    package static let name = "dataset.json"

    package struct Source: Hashable, Sendable {
        package var metadata: SourceMetadata
        /// What was read, before it was turned into text.
        package var bytes: Int64
        /// Of these bytes.
        package var sha256: String
    }

    /// SHA-256 over the shards, the schema and the templates: equal versions hold equal bytes.
    package let version: String
    package let shards: [JSONValue]
    package let counts: IngestCounts
    package let sources: [Source]
    package let parameters: IngestParameters
    package let quarantined: Int64
    /// No part of the version.
    package let createdAt: Timestamp

    init(
        shards: [ShardWriter.Shard], counts: IngestCounts, sources: [Source], parameters: IngestParameters,
        quarantined: Int64, createdAt: Timestamp
    ) {
        self.shards = shards.map(\.jsonValue)
        self.counts = counts
        self.sources = sources
        self.parameters = parameters
        self.quarantined = quarantined
        self.createdAt = createdAt
        let identity = JSONValue.object([
            "format": "martlet.dataset/v1", "shards": .array(self.shards), "schema": parameters.schema.jsonValue,
            "templates": parameters.templates.jsonValue,
        ])
        version = hexadecimal(SHA256.hash(data: Array(identity.canonicalJSON.utf8)))
    }

    package var jsonValue: JSONValue {
        .object([
            "format": "martlet.dataset/v1", "version": .string(version), "shards": .array(shards),
            "counts": counts.jsonValue, "schema": parameters.schema.jsonValue,
            "templates": parameters.templates.jsonValue, "license": parameters.licence?.jsonValue ?? .null,
            "quarantine": quarantined > 0
                ? .object(["name": .string(QuarantineWriter.name), "records": .int(quarantined)]) : .null,
            "sources": .array(
                sources.map { source in
                    .object([
                        "uri": .string(source.metadata.uri), "bytes": .int(source.bytes),
                        "sha256": .string(source.sha256),
                        "validator": source.metadata.validator.map(JSONValue.string) ?? .null,
                    ])
                }),
            "created_at": .string(createdAt.description),
        ])
    }
}
