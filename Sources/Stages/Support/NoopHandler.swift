import Pipeline
package import WorkerRuntime

/// Does nothing, at once: for measuring the fleet itself.
package struct NoopHandler: StageHandler {
    package let kind = "noop"
    package let version = "1"

    package init() {}

    package func run(_ context: StageContext) async throws -> StageResult {
        .succeeded(StageOutput())
    }
}
