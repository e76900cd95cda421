import Foundation
import Synchronization

/// Writes the files of a dataset version into a folder.
package final class DirectorySink: RecordSink {
    package let directory: String
    private let open = Mutex<[String: FileHandle]>([:])

    /// - Parameter directory: Must exist and be writable.
    package init(directory: String) {
        self.directory = directory
    }

    package func append(_ bytes: [UInt8], to name: String) throws {
        try open.withLock { files in
            do {
                let file: FileHandle
                if let known = files[name] {
                    file = known
                } else {
                    let url = URL(fileURLWithPath: directory).appendingPathComponent(name)
                    try Data().write(to: url)
                    file = try FileHandle(forWritingTo: url)
                    files[name] = file
                }
                try file.write(contentsOf: bytes)
            } catch {
                throw IngestError(
                    .scratchFailed,
                    "Cannot write \(directory)/\(name): \(error.localizedDescription) "
                        + "Free space there or point the worker's scratch folder elsewhere.",
                    isRetryable: true, cause: error)
            }
        }
    }

    package func close(_ name: String) throws {
        let file = open.withLock { $0.removeValue(forKey: name) }
        try file?.close()
    }
}
