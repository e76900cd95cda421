import Foundation
import LocalStack
import Pipeline
import Synchronization

/// What the supervisor says of itself, in a file that other commands read: `<state>/supervisor.json`.
final class StatusBoard: Sendable {
    struct Document: Codable {
        enum Phase: String, Codable {
            case starting
            case ready
            case stopping
            case stopped
            case failed
        }

        var phase: Phase
        var pid: Int32
        /// What happened while starting or stopping, in order.
        var notes: [String] = []
        var processes: [Process] = []
        var updatedAt: Timestamp
    }

    /// A process of Martlet's own.
    struct Process: Codable {
        var name: String
        var pid: Int32
        /// With it another invocation can tell this process from a later one of the same id.
        var identity: ProcessIdentity?
        /// Where it serves health and metrics on the loopback address.
        var port: UInt16?
        /// Whether it has been ready since it was started.
        var isReady: Bool?
        var startedAt: Timestamp
        var restarts: Int
    }

    private let path: String
    private let document: Mutex<Document>

    init(state: String) {
        path = state + "/supervisor.json"
        document = Mutex(Document(phase: .stopped, pid: getpid(), updatedAt: .now))
    }

    /// - Parameter processes: what an earlier supervisor left.
    func begin(with processes: [Process]) {
        change { $0 = Document(phase: .starting, pid: getpid(), processes: processes, updatedAt: .now) }
    }
    func note(_ text: String) { change { $0.notes = ($0.notes + [text]).suffix(200) } }
    func ready() { change { $0.phase = .ready } }
    func stopping() {
        change {
            $0.phase = .stopping; $0.notes = []
        }
    }
    func end() {
        change {
            $0.phase = .stopped; $0.processes = []
        }
    }

    func fail() { change { $0.phase = .failed } }

    func set(_ processes: [Process]) { change { $0.processes = processes } }

    private func change(_ body: (inout Document) -> Void) {
        document.withLock { document in
            body(&document)
            document.updatedAt = .now
            // Whole or not at all, so that a reader never sees half; a full disk costs the display, not the stack.
            try? JSONEncoder().encode(document).write(to: URL(filePath: path), options: .atomic)
        }
    }

    /// What is on the board; nil when nobody has written to it.
    static func read(state: String) -> Document? {
        guard let data = try? Data(contentsOf: URL(filePath: state + "/supervisor.json")) else { return nil }
        return try? JSONDecoder().decode(Document.self, from: data)
    }
}
