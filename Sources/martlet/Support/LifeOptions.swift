import ArgumentParser
import Glibc

/// What ends a process of the fleet.
struct LifeOptions: ParsableArguments {
    @Flag(help: "Stop as at SIGTERM when standard input ends: so the end of a supervisor is noticed, however it ends.")
    var untilEndOfInput = false

    /// Calls `handler` when the process is to stop.
    func signals(_ handler: @escaping @Sendable () -> Void) -> Signals {
        Signals(orEndOf: untilEndOfInput ? STDIN_FILENO : nil, handler: handler)
    }
}
