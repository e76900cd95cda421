import Glibc

/// The processes of a cluster's former server, which outlive it for a moment when it is killed.
enum PostgresProcesses {
    /// Waits until nobody is attached to the shared memory of the server that ran last; while somebody is, the next one
    /// refuses to start ("pre-existing shared memory block is still in use").
    /// - Returns: after ten seconds in any case: what is attached still is for the server to name.
    static func waitUntilGone(cluster data: String) async throws {
        guard let memory = try sharedMemory(of: data) else { return }
        let deadline = ContinuousClock.now + .seconds(10)
        // The kernel tells nobody when the last one lets go.
        while try isAttached(memory), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// The System V identifier in the seventh line ("key id") of `postmaster.pid`, which an orderly stop removes
    /// (PostgreSQL: src/include/utils/pidfile.h).
    private static func sharedMemory(of data: String) throws(StackError) -> Int? {
        guard let text = try FileSystem.read("\(data)/postmaster.pid") else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 7, let id = lines[6].split(separator: " ").last else { return nil }
        return Int(id)
    }

    /// Whether the segment is there and has attachments (`shmid` and `nattch`: columns 2 and 7; proc(5)).
    private static func isAttached(_ id: Int) throws(StackError) -> Bool {
        guard let table = try FileSystem.read("/proc/sysvipc/shm") else { return false }
        return table.split(separator: "\n").dropFirst().contains { line in
            let columns = line.split(separator: " ")
            return columns.count > 6 && Int(columns[1]) == id && Int(columns[6]) != 0
        }
    }
}
