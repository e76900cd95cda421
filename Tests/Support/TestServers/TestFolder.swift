import ChildProcess
import Glibc
import LocalStack
import Logging
import Synchronization

/// The test process's folder and its watchdog, which removes the servers and the folder at the end.
final class TestFolder: Sendable {
    static let shared = TestFolder()

    private let watchdog = Mutex<Watchdog?>(nil)
    private let path: String

    /// The package's folder, four levels above this file, where the Python lock files are.
    private static let projectFolder: String? = {
        guard let resolved = realpath(#filePath, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved).split(separator: "/").dropLast(4).map { "/\($0)" }.joined()
    }()

    private init() {
        let temporary = ProcessEnvironment.current()["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        path = "\(temporary)/martlet-tests-\(getpid())"
    }

    /// A stack in a folder of this name below the test process's folder.
    func makeStack(named name: String) async throws -> LocalStack {
        try watchdog.withLock { watchdog in
            if watchdog == nil { watchdog = try Watchdog(folder: path) }
        }
        var options = StackOptions.throwaway
        options.projectFolder = Self.projectFolder
        return try LocalStack(
            folder: "\(path)/\(name)", options: options,
            log: Logger(label: "martlet.tests.servers") { _ in SwiftLogNoOpLogHandler() })
    }

    /// What tells the watchdog of every process that `stack` starts.
    func progress(of stack: LocalStack) -> @Sendable (StackProgress) -> Void {
        { step in
            if case .launched(let process) = step.phase {
                self.watchdog.withLock { $0?.watch(process) }
            }
        }
    }

    /// Letters and digits that no other test has.
    static func uniqueSuffix() -> String {
        String(UInt64.random(in: .min ... .max), radix: 36)
    }
}
