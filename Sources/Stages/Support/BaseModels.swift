import FoundationEssentials
package import ObjectStorage
package import Pipeline
import WorkerRuntime

/// A base model in the object store.
package struct BaseModel: Hashable, Sendable, Codable {
    package var name: String
    package var artifacts: ManifestReference
    /// SHA-256 over the names and digests of its files: equal models have equal digests, whoever imported them.
    package var digest: String
    package var bytes: Int64
    package var parameters: Int64?
    package var architecture: String?
    package var licence: String?
    /// Where it came from: kind, file or id and revision, digest.
    package var source: JSONValue
    package var importedAt: Timestamp

    package init(
        name: String, artifacts: ManifestReference, digest: String, bytes: Int64, parameters: Int64?,
        architecture: String?, licence: String?, source: JSONValue, importedAt: Timestamp
    ) {
        self.name = name
        self.artifacts = artifacts
        self.digest = digest
        self.bytes = bytes
        self.parameters = parameters
        self.architecture = architecture
        self.licence = licence
        self.source = source
        self.importedAt = importedAt
    }
}

/// The base models in the object store: files under `models/files/<digest>/`, a record per name under
/// `models/names/<name>.json`.
package struct BaseModels: Sendable {
    private static let prefix = "models/names/"

    private let storage: S3Client
    private let bucket: String

    package init(storage: S3Client, bucket: String) {
        self.storage = storage
        self.bucket = bucket
    }

    /// - Throws: ``StageFailure`` that names the models there are.
    package func find(_ name: String) async throws -> BaseModel {
        guard Self.isName(name), try await storage.head(bucket: bucket, key: key(name)) != nil else {
            let known = try await list().map(\.name).joined(separator: ", ")
            throw StageFailure(
                .permanent, "model.unknown",
                "there is no base model \"\(name.prefix(100))\"; there are \(known.isEmpty ? "none" : known): import it with `martlet model import`"
            )
        }
        let bytes = try await storage.get(bucket: bucket, key: key(name), upTo: 1 << 20)
        do {
            return try JSONDecoder().decode(BaseModel.self, from: Data(bytes))
        } catch {
            throw StageFailure(
                .permanent, "model.unreadable", "the record of base model \(name) cannot be read: \(error)")
        }
    }

    package func list() async throws -> [BaseModel] {
        var models: [BaseModel] = []
        for try await page in storage.list(bucket: bucket, prefix: Self.prefix) {
            for object in page.objects where object.key.hasSuffix(".json") {
                let bytes = try await storage.get(bucket: bucket, key: object.key, upTo: 1 << 20)
                models.append(try JSONDecoder().decode(BaseModel.self, from: Data(bytes)))
            }
        }
        return models
    }

    /// Stores the files of a folder under their common digest, unless they are there, then the record under the name.
    /// - Parameter digest: over the names and digests of the files.
    package func store(
        directory: String, name: String, digest: String, parameters: Int64?, architecture: String?, licence: String?,
        source: JSONValue, importedAt: Timestamp
    ) async throws -> BaseModel {
        guard Self.isName(name) else {
            throw StageFailure(
                .permanent, "model.name",
                "\"\(name.prefix(100))\" cannot be a model's name: use lower-case letters, digits, dots and dashes, at most 63"
            )
        }
        let store = ArtifactStore(client: storage, bucket: bucket)
        let location = try await publish(directory, prefix: "models/files/\(digest)/", to: store)
        let bytes = try await store.manifest(location).totalBytes
        let model = BaseModel(
            name: name,
            artifacts: ManifestReference(bucket: location.bucket, key: location.key, sha256: location.sha256),
            digest: digest, bytes: bytes, parameters: parameters, architecture: architecture,
            licence: licence, source: source, importedAt: importedAt)
        _ = try await storage.put(
            Array(try JSONEncoder().encode(model)), bucket: bucket, key: key(name), contentType: "application/json")
        return model
    }

    /// Equal weights are there already when another name has them; only a set that is damaged is stored again.
    private func publish(
        _ directory: String, prefix: String, to store: ArtifactStore
    ) async throws -> ManifestLocation {
        if let known = try await store.published(under: prefix) {
            if try await isWhole(known, prefix: prefix, in: store) { return known }
            try await storage.delete(bucket: bucket, key: known.key)
        }
        return try await store.publish(directory: directory, prefix: prefix)
    }

    private func isWhole(
        _ location: ManifestLocation, prefix: String, in store: ArtifactStore
    ) async throws -> Bool {
        for entry in try await store.manifest(location).entries {
            let found = try await storage.head(bucket: bucket, key: prefix + entry.name)
            guard found?.size == entry.bytes, found?.sha256 == entry.sha256 else { return false }
        }
        return true
    }

    private func key(_ name: String) -> String { Self.prefix + name + ".json" }

    private static func isName(_ name: String) -> Bool {
        guard !name.isEmpty, name.utf8.count <= 63, name.first != ".", name.first != "-" else { return false }
        return name.unicodeScalars.allSatisfy {
            ("a"..."z").contains($0) || ("0"..."9").contains($0) || $0 == "-" || $0 == "." || $0 == "_"
        }
    }
}
