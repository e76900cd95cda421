import Foundation
import Synchronization
import Testing

/// What the tests train on, made once per test process by the helpers of the Python tests.
enum Materials {
    /// The folder: `records.jsonl`, `rows.parquet`, `model/`, and `foreign/` with another vocabulary.
    static func shared() async throws -> String {
        try await making.value
    }

    // Unstructured, as it outlives the test that asks first.
    private static let making = Task {
        let folder = NSTemporaryDirectory() + "/martlet-materials-\(ProcessInfo.processInfo.processIdentifier)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        made.withLock { $0 = folder }
        atexit {
            if let folder = made.withLock(\.self) { try? FileManager.default.removeItem(atPath: folder) }
        }
        try await StagesEnvironment.python([try Peer.script("materials"), StagesEnvironment.package, folder])
        return folder
    }
}

/// What the exit handler, a C function without a context, removes.
private let made = Mutex<String?>(nil)
