/// Runs.
extension MLflowClient {
    private struct Found: Decodable { let run: MLflowRun }
    private struct Creation: Encodable {
        let experimentId: String
        let runName: String?
        let startTime: Int64
        let tags: [MLflowTag]
    }
    private struct Update: Encodable {
        let runId: String
        let status: MLflowRun.Status?
        let endTime: Int64?
        let runName: String?
    }
    private struct Reference: Encodable { let runId: String }
    private struct Search: Encodable {
        let experimentIds: [String]
        let filter: String
        let runViewType = "ACTIVE_ONLY"
        let maxResults: Int
        let orderBy: [String]
        let pageToken: String?
    }
    private struct SearchPage: Decodable {
        let runs: [MLflowRun]?
        let nextPageToken: String?
    }

    /// Begins a run. Not repeated once the request may have arrived: look for the run by a tag of your own first.
    ///
    /// - Parameter startTime: milliseconds since 1970, UTC.
    package func createRun(
        experimentID: String, name: String? = nil, startTime: Int64, tags: [String: String] = [:]
    ) async throws -> MLflowRun {
        let found: Found = try await post(
            "runs/create",
            Creation(experimentId: experimentID, runName: name, startTime: startTime, tags: [MLflowTag](tags)),
            repetition: .onlyIfUnsent)
        return found.run
    }

    /// nil when there is no such run.
    package func run(_ id: String) async throws -> MLflowRun? {
        try await nilIfMissing {
            let found: Found = try await self.get("runs/get", query: [("run_id", id)])
            return found.run
        }
    }

    /// Changes what is not nil.
    package func updateRun(
        _ id: String, status: MLflowRun.Status? = nil, endTime: Int64? = nil, name: String? = nil
    ) async throws {
        let _: EmptyAnswer = try await post(
            "runs/update", Update(runId: id, status: status, endTime: endTime, runName: name))
    }

    /// Runs that fit the filter, all pages.
    ///
    /// - Parameters:
    ///   - filter: MLflow's search syntax; texts through `MLflowFilter`.
    ///   - orderBy: such as `attributes.start_time DESC`.
    ///   - limit: runs at most.
    package func searchRuns(
        experimentIDs: [String], filter: String = "", orderBy: [String] = [], limit: Int = 1000
    ) async throws -> [MLflowRun] {
        var found: [MLflowRun] = []
        var token: String?
        repeat {
            let page: SearchPage = try await post(
                "runs/search",
                Search(
                    experimentIds: experimentIDs, filter: filter, maxResults: max(1, min(1000, limit - found.count)),
                    orderBy: orderBy, pageToken: token))
            found += page.runs ?? []
            token = page.nextPageToken.flatMap { $0.isEmpty ? nil : $0 }
        } while token != nil && found.count < limit
        return Array(found.prefix(limit))
    }

    /// Marks the run as deleted; one that is deleted already is fine.
    package func deleteRun(_ id: String) async throws {
        do {
            let _: EmptyAnswer = try await post("runs/delete", Reference(runId: id))
        } catch let error as MLflowError where error.code == .invalidParameter || error.code == .notFound {
            guard try await run(id)?.isDeleted == true else { throw error }
        }
    }
}
