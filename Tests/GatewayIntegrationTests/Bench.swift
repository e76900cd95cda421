import Coordination
import Crypto
import Foundation
import HTTPTransport
import Ledger
import LocalStack
import Logging
import Pipeline
import PostgresClient
import RedisClient
import TestPeers
import TestServers

@testable import Gateway

/// A ledger and a Redis of a test's own, which it may stop, and gateways that follow them.
struct Bench: Sendable {
    let stack: LocalStack
    let postgres: PostgresClient
    let ledger: Ledger
    let coordinator: Coordinator
    let folder: String
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static let prices = PriceTable(fallback: PriceTable.Price(prompt: 1_000_000, cached: 0, completion: 10_000_000))

    static func with(_ body: (Bench) async throws -> Void) async throws {
        let stack = try await TestServers.fresh(.postgres, .redis)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let endpoints = try await stack.endpoints()
        var configuration = try PostgresConfiguration(url: try await stack.createDatabase("gateway"))
        configuration.sessionSettings = Ledger.sessionSettings
        let postgres = PostgresClient(configuration: configuration, logger: logger)
        let redis = RedisClient(configuration: try RedisConfiguration(url: endpoints.redisURL), logger: logger)
        let folder = FileManager.default.temporaryDirectory.path + "/gateway-\(UUID().uuidString)"
        let bench = Bench(
            stack: stack, postgres: postgres, ledger: Ledger(postgres: postgres, logger: logger),
            coordinator: Coordinator(redis: redis, logger: logger), folder: folder)
        func end() async {
            await postgres.close()
            await redis.close()
            try? await stack.stop()
            try? FileManager.default.removeItem(atPath: folder)
        }
        do {
            try await bench.ledger.migrate()
            try await body(bench)
            await end()
        } catch {
            await end()
            throw error
        }
    }

    /// A gateway before a model server at `port`, that follows the servers while `body` runs.
    func gateway(_ name: String = "g", port: Int?, _ body: (Gateway) async throws -> Void) async throws {
        let fixed = port.map { port in
            ReplicaConfiguration(
                model: "m", version: "1", aliases: ["champion"], host: "127.0.0.1", port: port, servedName: "m")
        }
        try await gateway(name, fixed: fixed.map { [$0] } ?? [], body)
    }

    /// A gateway before model servers that are written down.
    func gateway(
        _ name: String = "g", fixed: [ReplicaConfiguration], _ body: (Gateway) async throws -> Void
    ) async throws {
        let gateway = try await Gateway.start(
            GatewayConfiguration(), prices: Self.prices, journalFolder: folder, logger: logger)
        gateway.route(fixed.filter { !$0.isName })
        // Unstructured: beside the body, and over before this returns.
        let following = Task {
            await gateway.follow(
                ledger: ledger, coordinator: coordinator, transport: HTTPTransport(logger: logger), name: name,
                fixed: fixed, credential: nil)
        }
        do {
            try await body(gateway)
        } catch {
            following.cancel()
            await following.value
            await gateway.stop()
            throw error
        }
        following.cancel()
        await following.value
        await gateway.stop()
    }

    /// Makes a key.
    func makeKey(_ name: String, team: String = "t", _ change: (inout APIKey.Limits) -> Void = { _ in }) async throws {
        var limits = APIKey.Limits()
        change(&limits)
        _ = try await ledger.createKey(
            name: name, team: team, digest: Array(SHA256.hash(data: Array(name.utf8))), limits: limits, actor: "test")
    }

    /// What everybody used.
    func used() async throws -> UsageLine.Sum {
        try await ledger.usage(from: Timestamp(microseconds: 0), to: .now.advanced(by: .seconds(7_200)))
            .reduce(into: UsageLine.Sum()) { $0 += $1.sum }
    }
}

extension Gateway {
    static let body = #"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#

    /// One request with a key; its status and body.
    func ask(_ key: String, _ body: String = Gateway.body) async throws -> (status: Int, body: String) {
        try await WirePeer.connect(port: port) { client in
            try await client.send(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer \(key)\r\n"
                    + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
            let (head, body) = try await client.readResponse()
            return (Int(head.split(separator: " ")[1]) ?? 0, body)
        }
    }
}

/// A model server whose every answer takes 3 tokens of prompt and 2 of answer.
let modelServer: @Sendable (WirePeer) async throws -> Void = { peer in
    while true {
        let (head, _) = try await peer.readRequest()
        // It is looked at as well.
        guard head.hasPrefix("POST") else {
            try await peer.answer("{}")
            continue
        }
        try await peer.answer(
            #"{"id":"1","choices":[{"message":{"content":"Hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#
        )
    }
}

/// Waits until `condition` holds; the test's time limit bounds it.
func eventually(_ condition: () async throws -> Bool) async throws {
    while try await !condition() { try await Task.sleep(for: .milliseconds(20)) }
}
