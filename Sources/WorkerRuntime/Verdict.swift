import Pipeline
import Synchronization

/// Why an attempt has to end before its handler does, decided once.
final class Verdict: Sendable {
    private let decision = Mutex<TaskExecution.Ending?>(nil)
    private let signal = DrainSignal()

    /// The first decision counts.
    func decide(_ ending: TaskExecution.Ending) {
        decision.withLock { $0 = $0 ?? ending }
        signal.set()
    }

    var isDecided: Bool { signal.isSet }

    /// Returns when it is decided or the task is cancelled.
    func wait() async {
        await signal.wait()
    }

    /// How the attempt ended, given what its handler said.
    func ending(handler: TaskExecution.Ending?) -> TaskExecution.Ending {
        switch (decision.withLock(\.self), handler) {
        // Asked to give the task back, the handler ended it after all: nobody need do it again.
        case (.finished(.released, _), .finished(let outcome, let output)?): .finished(outcome, output)
        case (let decided?, _): decided
        case (nil, let handler?): handler
        case (nil, nil): .finished(.released, nil)
        }
    }
}
