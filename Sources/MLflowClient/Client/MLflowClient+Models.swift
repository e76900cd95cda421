/// Registered models and their aliases.
extension MLflowClient {
    private struct Found: Decodable { let registeredModel: MLflowRegisteredModel }
    private struct Creation: Encodable {
        let name: String
        let description: String?
        let tags: [MLflowTag]
    }
    private struct Named: Encodable { let name: String }
    private struct Tagging: Encodable {
        let name: String
        let key: String
        let value: String
    }
    private struct Aliasing: Encodable {
        let name: String
        let alias: String
        var version: String?
    }
    private struct FoundVersion: Decodable { let modelVersion: MLflowModelVersion }

    /// nil when there is no such name.
    package func registeredModel(named name: String) async throws -> MLflowRegisteredModel? {
        try await nilIfMissing {
            let found: Found = try await self.get("registered-models/get", query: [("name", name)])
            return found.registeredModel
        }
    }

    /// The model of that name; created when it is missing. Any number of callers at once get the same one.
    package func getOrCreateRegisteredModel(
        named name: String, description: String? = nil, tags: [String: String] = [:]
    ) async throws -> MLflowRegisteredModel {
        if let found = try await registeredModel(named: name) { return found }
        do {
            let found: Found = try await post(
                "registered-models/create", Creation(name: name, description: description, tags: [MLflowTag](tags)))
            return found.registeredModel
        } catch let error as MLflowError where error.code == .alreadyExists {
            guard let found = try await registeredModel(named: name) else { throw error }
            return found
        }
    }

    /// Deletes the name with all its versions; a missing one is fine.
    package func deleteRegisteredModel(named name: String) async throws {
        _ = try await nilIfMissing {
            let _: EmptyAnswer = try await self.post("registered-models/delete", method: "DELETE", Named(name: name))
        }
    }

    package func setModelTag(name: String, key: String, value: String) async throws {
        let _: EmptyAnswer = try await post(
            "registered-models/set-tag", Tagging(name: name, key: key, value: value))
    }

    /// Points the alias at the version, wherever it pointed before. MLflow has no compare-and-set for it.
    package func setAlias(name: String, alias: String, version: String) async throws {
        let _: EmptyAnswer = try await post(
            "registered-models/alias", Aliasing(name: name, alias: alias, version: version))
    }

    /// The version that the alias points at; nil when there is no such alias or model.
    package func modelVersion(name: String, alias: String) async throws -> MLflowModelVersion? {
        do {
            return try await nilIfMissing {
                let found: FoundVersion = try await self.get(
                    "registered-models/alias", query: [("name", name), ("alias", alias)])
                return found.modelVersion
            }
        } catch let error as MLflowError where error.code == .invalidParameter {
            // MLflow says so of an alias that is not set; it says the same of a malformed one.
            guard error.message.contains("not found") else { throw error }
            return nil
        }
    }

    /// Removes the alias; a missing one is fine.
    package func deleteAlias(name: String, alias: String) async throws {
        _ = try await nilIfMissing {
            let _: EmptyAnswer = try await self.post(
                "registered-models/alias", method: "DELETE", Aliasing(name: name, alias: alias))
        }
    }
}
