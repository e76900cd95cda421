/// Metrics, parameters and tags of runs.
extension MLflowClient {
    private struct Tagging: Encodable {
        let runId: String
        let key: String
        let value: String
    }
    private struct History: Decodable {
        let metrics: [MLflowMetric]?
        let nextPageToken: String?
    }

    /// Logs any number of values, in requests of the size that MLflow takes.
    ///
    /// Repeating it does no harm: MLflow keeps equal values once. A parameter cannot be given another value.
    package func logBatch(
        runID: String, metrics: [MLflowMetric] = [], parameters: [String: String] = [:], tags: [String: String] = [:]
    ) async throws {
        for batch in LogBatch.split(
            runID: runID, metrics: metrics, params: [MLflowTag](parameters), tags: [MLflowTag](tags))
        {
            let _: EmptyAnswer = try await post("runs/log-batch", batch)
        }
    }

    package func setTag(runID: String, key: String, value: String) async throws {
        let _: EmptyAnswer = try await post("runs/set-tag", Tagging(runId: runID, key: key, value: value))
    }

    /// Every value of one metric, all pages, in the order of their steps.
    package func metricHistory(runID: String, key: String) async throws -> [MLflowMetric] {
        var found: [MLflowMetric] = []
        var token: String?
        repeat {
            var query = [("run_id", runID), ("metric_key", key), ("max_results", "25000")]
            if let token { query.append(("page_token", token)) }
            let page: History = try await get("metrics/get-history", query: query)
            found += page.metrics ?? []
            token = page.nextPageToken.flatMap { $0.isEmpty ? nil : $0 }
        } while token != nil
        return found.sorted { ($0.step, $0.timestamp) < ($1.step, $1.timestamp) }
    }
}
