import Foundation
import Testing

@testable import HTTPTransport

/// A server of the tests' own in Python, alive as long as this object: it ends when its standard input closes.
final class Peer: Sendable {
    let port: Int
    private let input: Pipe
    private let process: SendableProcess

    /// - Parameter arguments: a script in `Peers`, and its arguments.
    init(_ script: String, _ arguments: [String] = []) throws {
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
        self.process = SendableProcess(process: process)
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        port = try #require(
            Int(line.trimmingCharacters(in: .whitespacesAndNewlines)), "the peer \(script) did not start: \(line)")
    }

    /// One server for every test that needs no other: tests tell themselves apart by `key=`.
    static func shared() throws -> Peer {
        try common.get()
    }

    private static let common = Result { try Peer("http_peer") }

    deinit {
        try? input.fileHandleForWriting.close()
        process.process.waitUntilExit()
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

    /// `Process` is used by `init` and then by `deinit` alone, which cannot overlap.
    private struct SendableProcess: @unchecked Sendable {
        let process: Process
    }
}
