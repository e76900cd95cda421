import Synchronization

/// Which scripts the server should know, as far as this client's present connection tells.
final class ScriptCache: Sendable {
    private struct State {
        var generation: UInt64 = 0
        var known: Set<String> = []
    }

    private let state = Mutex(State())

    /// The scripts to load first, each once.
    func missing(_ scripts: [RedisScript], generation: UInt64) -> [RedisScript] {
        guard !scripts.isEmpty else { return [] }
        return state.withLock { state in
            // Another connection may mean another, empty server.
            if state.generation != generation { state = State(generation: generation) }
            var seen = state.known
            return scripts.filter { seen.insert($0.sha1).inserted }
        }
    }

    func insert(_ script: RedisScript, generation: UInt64) {
        state.withLock { state in
            if state.generation == generation { state.known.insert(script.sha1) }
        }
    }

    func removeAll() {
        state.withLock { $0.known = [] }
    }
}

extension [RedisArgument] {
    /// The script that this EVALSHA runs.
    var script: RedisScript? {
        guard count > 1, case .script(let script) = self[1] else { return nil }
        return script
    }

    /// The same call as EVAL with the script's text.
    var withScriptSource: [RedisArgument] {
        guard let script else { return self }
        return ["EVAL", .string(script.source)] + dropFirst(2)
    }
}

extension Result<RedisValue, RedisError> {
    var isNoScript: Bool {
        if case .failure(let error) = self { error.code == .noScript } else { false }
    }
}
