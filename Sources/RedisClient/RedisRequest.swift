import Synchronization

/// One or more commands sent together, and whoever waits for their replies.
final class RedisRequest: Sendable {
    typealias Reply = Result<RedisValue, RedisError>
    typealias Waiting = CheckedContinuation<[Reply], any Error>

    /// Survives either order: the end may come before the wait.
    private enum Slot {
        case open
        case waiting(Waiting)
        case ended
        case endedEarly(Result<[Reply], any Error>)
    }

    let commands: EncodedCommands
    let deadline: ContinuousClock.Instant?
    private let slot = Mutex(Slot.open)

    init(_ commands: EncodedCommands, deadline: ContinuousClock.Instant?) {
        self.commands = commands
        self.deadline = deadline
    }

    /// Nobody waits any more: not to be sent, and its replies are dropped.
    var isEnded: Bool {
        slot.withLock { slot in
            switch slot {
            case .open, .waiting: false
            case .ended, .endedEarly: true
            }
        }
    }

    func wait(_ continuation: Waiting) {
        let early = slot.withLock { slot -> Result<[Reply], any Error>? in
            if case .endedEarly(let result) = slot {
                slot = .ended
                return result
            }
            slot = .waiting(continuation)
            return nil
        }
        if let early { continuation.resume(with: early) }
    }

    /// The first end counts; later ones are ignored.
    func end(_ result: Result<[Reply], any Error>) {
        let continuation = slot.withLock { slot -> Waiting? in
            switch slot {
            case .open:
                slot = .endedEarly(result)
                return nil
            case .waiting(let continuation):
                slot = .ended
                return continuation
            case .ended, .endedEarly: return nil
            }
        }
        continuation?.resume(with: result)
    }
}
