import Glibc
import LocalStack
import Pipeline
import Synchronization

/// The process ids of servers, as they become known.
final class ProcessTable: Sendable {
    private let pids = Mutex<[String: pid_t]>([:])

    func note(_ server: ServerName, pid: pid_t) {
        pids.withLock { $0[server.rawValue] = pid }
    }

    /// All of them as one line of JSON.
    var line: String {
        JSONValue.object(pids.withLock { $0.mapValues { .int(Int64($0)) } }).canonicalJSON
    }
}
