import Foundation
import TestServers
import Testing

@testable import HTTPTransport

/// A server of the tests' own in Python, alive as long as this object: it ends when its standard input closes.
final class Peer: Sendable {
    let port: Int
    private let input: Pipe

    /// - Parameter arguments: a script in `Peers`, and its arguments.
    private init(_ script: String, _ arguments: [String] = []) throws {
        let file = try #require(
            Bundle.module.url(forResource: script, withExtension: "py", subdirectory: "Peers"), "no peer \(script)")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", file.path] + arguments
        input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let line = try output.fileHandleForReading.readFirstLine()
        port = try #require(
            Int(line.trimmingCharacters(in: .whitespacesAndNewlines)), "the peer \(script) did not start: \(line)")
    }

    /// Starts one without blocking the threads that all tests share.
    static func start(_ script: String, _ arguments: [String] = []) async throws -> Peer {
        try await offPool { try Peer(script, arguments) }
    }

    /// One server for every test that needs no other: tests tell themselves apart by `key=`.
    static func shared() async throws -> Peer {
        try await common.value
    }

    /// Another, where a test needs two origins.
    static func second() async throws -> Peer {
        try await other.value
    }

    // Unstructured, as they outlive the test that asks first.
    private static let common = Task { try await start("http_peer") }
    private static let other = Task { try await start("http_peer") }

    deinit {
        try? input.fileHandleForWriting.close()
    }

    var url: String { "http://127.0.0.1:\(port)" }

    /// How often a request with `key=` arrived.
    func count(_ key: String) async throws -> Int {
        let transport = makeTransport()
        let response = try await transport.send(HTTPRequest(url: "\(url)/count?key=\(key)"))
        let count = Int(String(decoding: try await response.body.collect(upTo: 100), as: UTF8.self))
        await transport.close()
        return try #require(count)
    }
}
