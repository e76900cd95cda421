/// Experiments.
extension MLflowClient {
    private struct Found: Decodable { let experiment: MLflowExperiment }
    private struct Created: Decodable { let experimentId: String }
    private struct Creation: Encodable {
        let name: String
        let artifactLocation: String?
        let tags: [MLflowTag]
    }

    /// The experiment of that name, deleted ones included; nil when there is none.
    package func experiment(named name: String) async throws -> MLflowExperiment? {
        try await nilIfMissing {
            let found: Found = try await self.get(
                "experiments/get-by-name", query: [("experiment_name", name)])
            return found.experiment
        }
    }

    /// The experiment of that name; created when it is missing. Any number of callers at once get the same one.
    ///
    /// - Parameter artifactLocation: for a new one; nil: the server's default.
    /// - Throws: `MLflowError` with code `.invalidState` when it was deleted.
    package func getOrCreateExperiment(
        named name: String, artifactLocation: String? = nil, tags: [String: String] = [:]
    ) async throws -> MLflowExperiment {
        if let found = try await experiment(named: name) { return try usable(found) }
        do {
            let _: Created = try await post(
                "experiments/create",
                Creation(name: name, artifactLocation: artifactLocation, tags: [MLflowTag](tags)),
                // The name is unique: a second creation is refused.
                repetition: .harmless)
        } catch let error as MLflowError where error.code == .alreadyExists {
            // Another caller, or our own first attempt, was faster.
        }
        guard let found = try await experiment(named: name) else {
            throw MLflowError(
                code: .notFound, message: "the experiment '\(name)' vanished right after its creation",
                operation: "experiments/create", isRetryable: true)
        }
        return try usable(found)
    }

    private func usable(_ experiment: MLflowExperiment) throws -> MLflowExperiment {
        guard !experiment.isDeleted else {
            throw MLflowError(
                code: .invalidState,
                message: "the experiment '\(experiment.name)' (id \(experiment.id)) was deleted and keeps its name; "
                    + "restore it with `mlflow experiments restore --experiment-id \(experiment.id)` or use another name",
                operation: "experiments/get-by-name")
        }
        return experiment
    }

    /// Turns MLflow's own "does not exist" into nil; a 404 without its error code stays an error.
    func nilIfMissing<Result>(_ body: () async throws -> Result) async throws -> Result? {
        do {
            return try await body()
        } catch let error as MLflowError where error.code == .notFound && error.status == 404 {
            return nil
        }
    }
}
