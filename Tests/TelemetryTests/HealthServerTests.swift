import Glibc
import Synchronization
import Testing

@testable import Telemetry

@Suite(.timeLimit(.minutes(4))) struct HealthServerTests {
    private struct Down: Error, CustomStringConvertible {
        let description = "cannot reach redis://:hunter2@h"
    }

    private func withServer(
        _ change: (inout HealthServer.Configuration) -> Void = { _ in }, checks: [ReadinessCheck] = [],
        _ body: (HealthServer) async throws -> Void
    ) async throws {
        var configuration = HealthServer.Configuration()
        change(&configuration)
        let server = try await HealthServer.start(configuration, checks: checks) { "a_total 1\n" }
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    private func get(_ server: HealthServer, _ method: String, _ path: String) async throws -> String {
        try await TestSocket(port: server.port).exchange(
            "\(method) \(path) HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    }

    @Test func answersItsPaths() async throws {
        try await withServer { server in
            let health = try await get(server, "GET", "/healthz")
            #expect(health.hasPrefix("HTTP/1.1 200 OK\r\n") && health.hasSuffix("\r\n\r\n{\"status\":\"ok\"}\n"))
            let metrics = try await get(server, "GET", "/metrics?x=1")
            #expect(metrics.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
            #expect(metrics.hasSuffix("\r\n\r\na_total 1\n"))
            let ready = try await get(server, "GET", "/readyz")
            #expect(ready.hasPrefix("HTTP/1.1 200") && ready.hasSuffix("{\"status\":\"ready\",\"checks\":{}}\n"))
        }
    }

    @Test func headHasTheLengthAndNoBody() async throws {
        try await withServer { server in
            let answer = try await get(server, "HEAD", "/metrics")
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.contains("Content-Length: 10\r\n"))
            #expect(answer.hasSuffix("\r\n\r\n"))
        }
    }

    @Test func refusesWhatItDoesNotServe() async throws {
        try await withServer { server in
            #expect(try await get(server, "GET", "/").hasPrefix("HTTP/1.1 404 Not Found\r\n"))
            let post = try await get(server, "POST", "/metrics")
            #expect(post.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\n") && post.contains("Allow: GET, HEAD\r\n"))
            let body = try await TestSocket(port: server.port)
                .exchange("POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
            #expect(body.hasPrefix("HTTP/1.1 413"))
            let junk = try await TestSocket(port: server.port).exchange("\u{16}\u{3}\u{1} not http\r\n\r\n")
            #expect(junk.hasPrefix("HTTP/1.1 400"))
        }
    }

    @Test func boundsTheHeaders() async throws {
        try await withServer { server in
            let one = "GET /healthz HTTP/1.1\r\nHost: h\r\nX: \(String(repeating: "x", count: 20_000))\r\n\r\n"
            #expect(try await TestSocket(port: server.port).exchange(one).hasPrefix("HTTP/1.1 431"))
            let many = (0..<200).map { "X\($0): y\r\n" }.joined()
            let answer = try await TestSocket(port: server.port)
                .exchange("GET /healthz HTTP/1.1\r\nHost: h\r\n\(many)\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 431"))
        }
    }

    @Test func keepsAConnectionForSeveralRequests() async throws {
        try await withServer { server in
            let socket = try TestSocket(port: server.port)
            for _ in 0..<3 {
                let answer = try await socket.exchange("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", until: "\"ok\"}\n")
                #expect(answer.hasPrefix("HTTP/1.1 200"))
            }
        }
    }

    @Test func closesSlowAndIdleConnections() async throws {
        try await withServer({ $0.requestTimeout = .milliseconds(100) }) { server in
            let slow = try await TestSocket(port: server.port).exchange("GET /hea")
            let idle = try await TestSocket(port: server.port).exchange("")
            #expect(slow.isEmpty && idle.isEmpty)
        }
    }

    @Test func boundsTheConnections() async throws {
        try await withServer({ $0.connectionLimit = 2 }) { server in
            let request = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
            let held = try [TestSocket(port: server.port), TestSocket(port: server.port)]
            for socket in held {
                #expect(try await socket.exchange(request, until: "}\n").hasPrefix("HTTP/1.1 200"))
            }
            #expect(try await TestSocket(port: server.port).exchange("").isEmpty)
            #expect(try await held[0].exchange(request, until: "}\n").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func readinessNamesWhatIsMissing() async throws {
        let isUp = Atomic(false)
        let checks = [
            ReadinessCheck("postgresql") {},
            ReadinessCheck("redis") { if !isUp.load(ordering: .relaxed) { throw Down() } },
        ]
        try await withServer(checks: checks) { server in
            let answer = try await get(server, "GET", "/readyz")
            #expect(answer.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
            #expect(
                answer.hasSuffix(
                    #"{"status":"unready","checks":{"postgresql":{"ok":true},"redis":{"ok":false,"reason":"cannot reach redis://:[redacted]@h"}}}"#
                        + "\n"))
            isUp.store(true, ordering: .relaxed)
            #expect(try await get(server, "GET", "/readyz").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func aCheckThatHangsIsAReasonAndDoesNotHoldOthersUp() async throws {
        let stuck = AsyncStream<Void> { _ in }
        let checks = [
            ReadinessCheck("stuck") {
                // Ignores cancellation for as long as the stream has a consumer that is shielded from it.
                await Task.detached { for await _ in stuck {} }.value
            }
        ]
        try await withServer({ $0.checkTimeout = .milliseconds(50) }, checks: checks) { server in
            async let first = get(server, "GET", "/readyz")
            async let second = get(server, "GET", "/healthz")
            let (ready, health) = try await (first, second)
            #expect(health.hasPrefix("HTTP/1.1 200"))
            #expect(ready.contains("no answer within 0.05 seconds"))
        }
    }

    @Test func aTakenAddressIsNamed() async throws {
        try await withServer { server in
            let error = await #expect(throws: TelemetryError.self) {
                try await HealthServer.start(.init(port: server.port)) { "" }
            }
            #expect(error?.description.contains("127.0.0.1:\(server.port)") == true)
        }
    }

    @Test func stopsListening() async throws {
        let server = try await HealthServer.start { "" }
        await server.stop()
        #expect(throws: (any Error).self) { try TestSocket(port: server.port) }
    }
}
