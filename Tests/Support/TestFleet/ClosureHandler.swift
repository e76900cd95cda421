package import Pipeline
package import WorkerRuntime

/// A stage handler made of a closure.
package struct ClosureHandler: StageHandler {
    package let kind: String
    package let version: String
    private let validator: JSONValue?
    private let body: @Sendable (StageContext) async throws -> StageResult

    package init(
        _ kind: String = "test", version: String = "1", validator: JSONValue? = .null,
        _ body: @escaping @Sendable (StageContext) async throws -> StageResult
    ) {
        self.kind = kind
        self.version = version
        self.validator = validator
        self.body = body
    }

    package func cacheValidator(_ context: StageContext) async throws -> JSONValue? { validator }

    package func run(_ context: StageContext) async throws -> StageResult { try await body(context) }
}
