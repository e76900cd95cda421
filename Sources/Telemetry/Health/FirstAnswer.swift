import Synchronization

/// The first of several answers; later ones are ignored. One waiter.
final class FirstAnswer: Sendable {
    private enum State {
        case open
        case waiting(CheckedContinuation<String?, Never>)
        case answered(String?)
    }

    private let state = Mutex(State.open)

    func answer(_ answer: String?) {
        let waiter = state.withLock { state -> CheckedContinuation<String?, Never>? in
            switch state {
            case .answered: return nil
            case .open:
                state = .answered(answer)
                return nil
            case .waiting(let waiter):
                state = .answered(answer)
                return waiter
            }
        }
        waiter?.resume(returning: answer)
    }

    func value() async -> String? {
        await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> String?? in
                if case .answered(let answer) = state { return .some(answer) }
                state = .waiting(continuation)
                return nil
            }
            if let ready { continuation.resume(returning: ready) }
        }
    }
}
