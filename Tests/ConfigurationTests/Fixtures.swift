import Configuration
import Foundation

/// The description of the ``ConfigurationError`` that `body` throws; nil when it throws none.
func refusal<Value>(_ body: () throws(ConfigurationError) -> Value) -> String? {
    do {
        _ = try body()
        return nil
    } catch {
        return error.description
    }
}

/// A folder that goes away with its scope.
func withTemporaryFolder<Value>(_ body: (String) throws -> Value) throws -> Value {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-" + UUID().uuidString).path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
}

/// The root of the repository, from this file's place in it.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
