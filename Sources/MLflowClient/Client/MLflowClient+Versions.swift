/// Versions of registered models.
extension MLflowClient {
    private struct Found: Decodable { let modelVersion: MLflowModelVersion }
    private struct Creation: Encodable {
        let name: String
        let source: String
        let runId: String?
        let description: String?
        let tags: [MLflowTag]
    }
    private struct Reference: Encodable {
        let name: String
        let version: String
    }
    private struct Tagging: Encodable {
        let name: String
        let version: String
        let key: String
        let value: String
    }
    private struct Page: Decodable {
        let modelVersions: [MLflowModelVersion]?
        let nextPageToken: String?
    }

    /// Registers a version. Not repeated once the request may have arrived: search by a tag of your own first.
    ///
    /// - Parameters:
    ///   - source: `runs:/…`, `mlflow-artifacts:/…`, `models:/…` or `s3://…`.
    ///   - runID: not checked by MLflow.
    package func createModelVersion(
        name: String, source: String, runID: String? = nil, description: String? = nil, tags: [String: String] = [:]
    ) async throws -> MLflowModelVersion {
        let found: Found = try await post(
            "model-versions/create",
            Creation(
                name: name, source: source, runId: runID, description: description, tags: [MLflowTag](tags)),
            repetition: .onlyIfUnsent)
        return found.modelVersion
    }

    /// nil when there is no such version.
    package func modelVersion(name: String, version: String) async throws -> MLflowModelVersion? {
        try await nilIfMissing {
            let found: Found = try await self.get(
                "model-versions/get", query: [("name", name), ("version", version)])
            return found.modelVersion
        }
    }

    /// Versions that fit the filter, all pages; their aliases are not filled in.
    ///
    /// - Parameter filter: such as ``name = 'x' and tags.`k` = 'v'``; texts and names through `MLflowFilter`.
    package func searchModelVersions(
        filter: String = "", orderBy: [String] = [], limit: Int = 10_000
    ) async throws -> [MLflowModelVersion] {
        var found: [MLflowModelVersion] = []
        var token: String?
        repeat {
            var query = [("filter", filter), ("max_results", String(max(1, min(1000, limit - found.count))))]
            query += orderBy.map { ("order_by", $0) }
            if let token { query.append(("page_token", token)) }
            let page: Page = try await get("model-versions/search", query: query)
            found += page.modelVersions ?? []
            token = page.nextPageToken.flatMap { $0.isEmpty ? nil : $0 }
        } while token != nil && found.count < limit
        return Array(found.prefix(limit))
    }

    /// Every version of one model.
    package func modelVersions(name: String) async throws -> [MLflowModelVersion] {
        try await searchModelVersions(filter: "name = \(try MLflowFilter.text(name))")
    }

    package func setVersionTag(name: String, version: String, key: String, value: String) async throws {
        let _: EmptyAnswer = try await post(
            "model-versions/set-tag", Tagging(name: name, version: version, key: key, value: value))
    }

    /// Deletes a version; a missing one is fine.
    package func deleteModelVersion(name: String, version: String) async throws {
        _ = try await nilIfMissing {
            let _: EmptyAnswer = try await self.post(
                "model-versions/delete", method: "DELETE", Reference(name: name, version: version))
        }
    }
}
