import Foundation
import LocalStack

/// Folders of single tests.
enum TestFolders {
    static func make() throws -> String {
        let path = NSTemporaryDirectory() + "martlet-fleet-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}

extension Fleet {
    /// FLUSHALL, of the databases of all tests: they run one after another.
    nonisolated func flushRedis() async throws {
        let parts = try await share.stack.endpoints().redisURL.split(separator: "@")
        guard parts.count == 2, let password = parts[0].split(separator: ":").last,
            let port = parts[1].split(separator: ":").last?.split(separator: "/").first
        else { throw Unexpected("the URL of Redis has another shape than expected") }
        // On standard input: a password has no place among the arguments.
        let answer = try await command(
            "redis-cli", ["-h", "127.0.0.1", "-p", String(port)],
            stdin: Array("AUTH \(password)\nFLUSHALL\n".utf8))
        guard answer.output.split(separator: "\n") == ["OK", "OK"] else {
            throw Unexpected("redis-cli: \(answer.output) \(answer.complaint)")
        }
    }
}
