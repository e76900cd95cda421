import Pipeline
import Synchronization

/// Why an attempt has to end before its handler does, decided once.
final class Verdict: Sendable {
    private struct State {
        var decision: TaskExecution.Ending?
        var work: Task<TaskExecution.Ending?, Never>?
    }

    private let state = Mutex(State())

    /// The first decision counts; it cancels the handler.
    func decide(_ ending: TaskExecution.Ending) {
        let work = state.withLock { state in
            state.decision = state.decision ?? ending
            return state.work
        }
        work?.cancel()
    }

    var isDecided: Bool { state.withLock { $0.decision != nil } }

    /// Runs the handler until it ends; a verdict cancels it.
    func await(_ handler: @escaping @Sendable () async -> TaskExecution.Ending?) async -> TaskExecution.Ending {
        // Unstructured, because a verdict comes from beside; a group with a task that waits for one would cost every
        // attempt two more tasks.
        let work = Task { await handler() }
        let isDecided = state.withLock { state in
            state.work = work
            return state.decision != nil
        }
        if isDecided { work.cancel() }
        let answer = await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
        return ending(handler: answer)
    }

    /// How the attempt ended, given what its handler said.
    private func ending(handler: TaskExecution.Ending?) -> TaskExecution.Ending {
        switch (state.withLock(\.decision), handler) {
        // Asked to give the task back, the handler ended it after all: nobody need do it again.
        case (.finished(.released, _), .finished(let outcome, let output)?): .finished(outcome, output)
        case (let decided?, _): decided
        case (nil, let handler?): handler
        case (nil, nil): .finished(.released, nil)
        }
    }
}
