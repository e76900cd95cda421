import Logging
import NIOCore
import Testing

@testable import Gateway

/// A gateway of a test's own, in this process.
enum TestGateway {
    /// `GatewayLimits.readsTogether`; nil for what it is by itself.
    @TaskLocal static var readsTogether: Int?

    static func with<Result: Sendable>(
        upstreams: [Int], maximumInFlight: Int = 8, _ change: (inout GatewayConfiguration) -> Void = { _ in },
        _ body: (Gateway) async throws -> Result
    ) async throws -> Result {
        // Two loops, so that what they share is shared.
        var configuration = GatewayConfiguration(threads: 2)
        configuration.requiresKeys = false
        if let readsTogether { configuration.limits.readsTogether = readsTogether }
        change(&configuration)
        let gateway = try await Gateway.start(
            configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        gateway.route(
            upstreams.map { port in
                ReplicaConfiguration(
                    model: "m", version: "1", aliases: ["champion"], host: "127.0.0.1", port: port, servedName: "m-1",
                    maximumInFlight: maximumInFlight, credential: "upstream-secret")
            })
        do {
            let result = try await body(gateway)
            try await expectNoStreams(gateway)
            await gateway.stop()
            return result
        } catch {
            await gateway.stop()
            throw error
        }
    }

    /// Once its clients have gone it counts no stream, whatever became of it.
    private static func expectNoStreams(_ gateway: Gateway) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while try await gateway.streams != (0, 0) {
            guard .now < end else {
                Issue.record("streams that nobody reads are still counted: \(try await gateway.streams)")
                return
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// A request as an application sends it.
    static func request(
        _ body: String = #"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
        path: String = "/v1/chat/completions", fields: String = ""
    ) -> String {
        "POST \(path) HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n\(fields)"
            + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static let plain = #"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#
    /// Whose answer others may share.
    static let deterministic = #"{"model":"m","temperature":0,"messages":[{"role":"user","content":"hi"}]}"#
    static let stream = #"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#
    static let answer =
        #"{"id":"1","choices":[{"message":{"content":"Hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#

    static func event(_ content: String) -> String {
        #"{"id":"1","choices":[{"index":0,"delta":{"content":"\#(content)"}}]}"#
    }
}
