/// Where a run's artifacts are behind the server's artifact service.
struct ArtifactRoot: Sendable, Hashable {
    /// Such as `1/0a1b2c…/artifacts`; no slash at either end.
    let path: String

    /// - Throws: `MLflowError` with code `.artifactsNotProxied` when the server hands out addresses in another store.
    init(run: MLflowRun, operation: String) throws {
        try self.init(uri: run.artifactURI, runID: run.id, operation: operation)
    }

    init(uri: String, runID: String, operation: String) throws {
        let scheme = "mlflow-artifacts:"
        guard uri.hasPrefix(scheme) else {
            throw MLflowError(
                code: .artifactsNotProxied,
                message: "the artifacts of run \(runID) are at \(uri), outside the server's artifact service; start "
                    + "the server with --serve-artifacts and an --artifacts-destination",
                operation: operation)
        }
        var rest = uri.dropFirst(scheme.count)
        // `mlflow-artifacts://host:port/1/…` names the server, which is ours.
        if rest.hasPrefix("//") { rest = rest.dropFirst(2).drop { $0 != "/" } }
        path = rest.split(separator: "/").joined(separator: "/")
        guard !path.isEmpty else {
            throw MLflowError(
                code: .badAnswer, message: "run \(runID) has no artifact location", operation: operation)
        }
    }

    /// The relative path, if it is one that stays inside.
    static func checked(_ name: String, operation: String) throws -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard !name.isEmpty, parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }),
            !name.utf8.contains(where: { $0 < 32 || $0 == UInt8(ascii: "\\") })
        else {
            throw MLflowError(
                code: .invalidRequest,
                message: "'\(name)' is not a relative path inside the run's artifacts", operation: operation)
        }
        return name
    }
}
