import ChildProcess
import Foundation
import TestServers
import Testing

/// A server of the tests' own in Python, alive as long as this object: it ends when its standard input closes.
final class Peer: Sendable {
    let ports: [Int]
    private let input: Pipe

    private init(_ script: String, _ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", try Self.script(script)] + arguments
        input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let line = try output.fileHandleForReading.readFirstLine()
        ports = line.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        try #require(!ports.isEmpty, "the peer \(script) did not start: \(line)")
    }

    /// Starts one without blocking the threads that all tests share.
    static func start(_ script: String, _ arguments: [String] = []) async throws -> Peer {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try Peer(script, arguments) })
            }
        }
    }

    static func script(_ name: String) throws -> String {
        try #require(
            Bundle.module.url(forResource: name, withExtension: "py", subdirectory: "Peers"), "no peer \(name)"
        ).path
    }

    deinit {
        // Its end needs no more than that; nobody could act on a failure here.
        try? input.fileHandleForWriting.close()
    }

    var url: String { "http://127.0.0.1:\(ports[0])" }
}
