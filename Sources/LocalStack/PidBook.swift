/// Which processes are the stack's servers: `pids.json`, so that any invocation finds and stops them.
struct PidBook: Sendable {
    struct Entry: Codable, Sendable {
        var process: ProcessIdentity
        /// True once an invocation has begun to stop it: its end is then no failure.
        var isStopping = false
    }

    private let file: JSONFile<[String: Entry]>

    init(path: String) {
        file = JSONFile(path: path)
    }

    /// The entry of a server, whether or not its process still lives.
    func entry(_ server: ServerName) throws(StackError) -> Entry? {
        try file.load()?[server.rawValue]
    }

    /// The server's process, if it is alive.
    func process(_ server: ServerName) throws(StackError) -> ProcessIdentity? {
        guard let process = try entry(server)?.process, process.isAlive else { return nil }
        return process
    }

    /// Records, replaces or (with nil) removes an entry. The caller holds the stack's lock.
    func set(_ server: ServerName, to entry: Entry?) throws(StackError) {
        var entries = try file.load() ?? [:]
        entries[server.rawValue] = entry
        try file.save(entries)
    }
}
