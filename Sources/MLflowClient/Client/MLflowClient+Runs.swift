/// Runs.
extension MLflowClient {
    private struct Found: Decodable { let run: MLflowRun }
    private struct Creation: Encodable {
        let experiment_id: String
        let run_name: String?
        let start_time: Int64
        let tags: [MLflowTag]
    }
    private struct Update: Encodable {
        let run_id: String
        let status: MLflowRun.Status?
        let end_time: Int64?
        let run_name: String?
    }
    private struct Reference: Encodable { let run_id: String }
    private struct Search: Encodable {
        let experiment_ids: [String]
        let filter: String
        let run_view_type = "ACTIVE_ONLY"
        let max_results: Int
        let order_by: [String]
        let page_token: String?
    }
    private struct SearchPage: Decodable {
        let runs: [MLflowRun]?
        let next_page_token: String?
    }

    /// Begins a run. Not repeated once the request may have arrived: look for the run by a tag of your own first.
    ///
    /// - Parameter startTime: milliseconds since 1970, UTC.
    package func createRun(
        experimentID: String, name: String? = nil, startTime: Int64, tags: [String: String] = [:]
    ) async throws -> MLflowRun {
        let found: Found = try await post(
            "runs/create",
            Creation(experiment_id: experimentID, run_name: name, start_time: startTime, tags: [MLflowTag](tags)),
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
            "runs/update", Update(run_id: id, status: status, end_time: endTime, run_name: name))
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
                    experiment_ids: experimentIDs, filter: filter, max_results: max(1, min(1000, limit - found.count)),
                    order_by: orderBy, page_token: token))
            found += page.runs ?? []
            token = page.next_page_token.flatMap { $0.isEmpty ? nil : $0 }
        } while token != nil && found.count < limit
        return Array(found.prefix(limit))
    }

    /// Marks the run as deleted; one that is deleted already is fine.
    package func deleteRun(_ id: String) async throws {
        do {
            let _: EmptyAnswer = try await post("runs/delete", Reference(run_id: id))
        } catch let error as MLflowError where error.code == .invalidParameter || error.code == .notFound {
            guard try await run(id)?.isDeleted == true else { throw error }
        }
    }
}
