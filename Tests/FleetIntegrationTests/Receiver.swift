import ChildProcess
import Foundation
import Pipeline
import Synchronization

/// A webhook's receiver in a process of its own.
final class Receiver: Sendable {
    struct Message: Decodable, Sendable {
        var headers: [String: String]
        var body: String
    }

    let port: Int
    private let child: ChildProcess
    private let received: Mutex<[Message]>
    /// Held open: the process ends with it.
    private let input: FileHandle

    private init(port: Int, child: ChildProcess, input: FileHandle) {
        self.port = port
        self.child = child
        self.input = input
        received = Mutex([])
    }

    /// - Parameter status: what it answers to every POST.
    static func start(status: Int, script: String) async throws -> Receiver {
        let pipe = Pipe()
        let child = try ChildProcess.spawn(
            "python3", arguments: ["-B", script, String(status)], environment: ProcessEnvironment.minimal(),
            stdin: .descriptor(pipe.fileHandleForReading.fileDescriptor), stdout: .pipe)
        guard let lines = child.stdoutLines else { throw Unexpected("the receiver has no output") }
        var iterator = lines.makeAsyncIterator()
        guard let first = await iterator.next(), let port = Int(first.text) else {
            throw Unexpected("the receiver did not start")
        }
        let receiver = Receiver(port: port, child: child, input: pipe.fileHandleForWriting)
        // Unstructured: it lives as long as the process.
        Task {
            for await line in lines {
                guard let message = try? JSONDecoder().decode(Message.self, from: Data(line.text.utf8)) else {
                    continue
                }
                receiver.received.withLock { $0.append(message) }
            }
        }
        return receiver
    }

    var messages: [Message] { received.withLock { $0 } }

    func stop() {
        child.signalGroup(9)
    }
}
