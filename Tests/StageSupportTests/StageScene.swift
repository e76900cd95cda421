import FoundationEssentials
import Glibc
import HTTPTransport
import Logging
import ObjectStorage
import Pipeline
import StageSupport
import Synchronization

@testable import WorkerRuntime

/// A context for one attempt without a fleet around it.
struct StageScene {
    let context: StageContext
    private let folder: String

    /// - Parameter parameters: of the stage.
    init(
        drain: DrainSignal = DrainSignal(), parameters: JSONValue = .object([:]), storage: S3Client? = nil,
        bucket: String = "none"
    ) throws {
        folder = "/tmp/martlet-scene-\(UInt64.random(in: 0 ... .max))"
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let payload = TaskPayload(
            run: RunID("r1"), pipeline: "p", stage: "s", kind: "command", pool: "p", timeoutSeconds: 60,
            ackPolicy: .onResult, cache: false, parameters: parameters, inputs: ["before": StageOutput(digest: "d")])
        context = StageContext(
            payload: payload, attempt: 2, token: ClaimToken("t"), traceparent: "00-ab",
            storage: try storage ?? Self.nowhere(),
            bucket: bucket, log: TaskLog(), logger: quiet, drain: drain, workspace: Workspace(path: folder + "/work"),
            reporter: ProgressReporter())
    }

    /// A store that nothing listens behind.
    private static func nowhere() throws -> S3Client {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return try S3Client(
            configuration: S3Configuration(
                endpoint: "http://127.0.0.1:1", region: "r",
                credentials: S3Credentials(accessKeyID: "a", secretAccessKey: "s")),
            transport: HTTPTransport(logger: quiet), logger: quiet)
    }

    var logText: String { String(decoding: context.log.unstored()?.bytes ?? [], as: UTF8.self) }

    func pythonPackage(_ script: String) throws -> PythonStage.Environment {
        let package = folder + "/python/martlet_stages"
        try FileManager.default.createDirectory(atPath: package, withIntermediateDirectories: true)
        try Data().write(to: URL(filePath: package + "/__init__.py"))
        try Data(script.utf8).write(to: URL(filePath: package + "/__main__.py"))
        return PythonStage.Environment(interpreter: "/usr/bin/python3", packageDirectory: folder + "/python")
    }

    func remove() {
        // Best effort: the folder is in /tmp and has a name of its own.
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Gone, or a zombie that its new parent has not collected yet.
    static func isGone(_ pid: pid_t) -> Bool {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return true }
        return stat.split(separator: ")").last?.hasPrefix(" Z") ?? true
    }
}

/// What a handler saw.
final class Seen: Sendable {
    private let list = Mutex<[String]>([])

    var names: [String] { list.withLock(\.self) }

    func add(_ name: String) { list.withLock { $0.append(name) } }
}
