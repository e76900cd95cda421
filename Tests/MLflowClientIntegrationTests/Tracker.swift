import HTTPTransport
import Logging
import TestServers

@testable import MLflowClient

/// One test's client and a name of its own.
struct Tracker: Sendable {
    let client: MLflowClient
    let transport: HTTPTransport
    /// Unique, with characters that need care in filters and URLs.
    let name: String

    static func with(_ body: @Sendable (Tracker) async throws -> Void) async throws {
        let url = try await TestServers.shared.mlflow()
        let transport = HTTPTransport(logger: Logger(label: "test"))
        let tracker = Tracker(
            client: try MLflowClient(baseURL: url, transport: transport, logger: Logger(label: "test")),
            transport: transport, name: "it's " + String(UInt64.random(in: 0...UInt64.max), radix: 36))
        do {
            try await body(tracker)
        } catch {
            await transport.close()
            throw error
        }
        await transport.close()
    }

    func makeRun() async throws -> MLflowRun {
        let experiment = try await client.getOrCreateExperiment(named: name)
        return try await client.createRun(experimentID: experiment.id, name: "first", startTime: 1_700_000_000_000)
    }
}
