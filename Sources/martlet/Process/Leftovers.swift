import LocalStack

/// Martlet's own processes that a supervisor which was killed has left. They drain by themselves, since their input has
/// ended; nothing may take their place before they are gone.
enum Leftovers {
    /// What the board of a state folder names and still runs. The caller holds the supervisor's lock.
    static func find(state: String) -> [StatusBoard.Process] {
        (StatusBoard.read(state: state)?.processes ?? []).filter { $0.identity?.isAlive == true }
    }

    /// Returns when all of them have ended, by force after `grace`.
    static func stop(_ processes: [StatusBoard.Process], grace: Duration, note: (String) -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for process in processes {
                note("stopping \(process.name), which a supervisor left that was killed")
                group.addTask { _ = await process.identity?.stop(grace: grace + .seconds(15)) }
            }
        }
    }
}
