import Coordination
import Ledger
import Pipeline
import Synchronization

/// What is really gone: a pure function from what the ledger, Redis and the broker say.
struct ReconcilePlan {
    struct Task {
        var row: Ledger.InFlight
        var standing: Coordinator.LeaseState
    }

    /// Since when a task has looked lost, from round to round.
    struct Memory {
        var suspects: [TaskID: Suspicion] = [:]
        /// When Redis was last found unreachable, or this process to have stood still: heartbeats could not be kept then, by
        /// no fault of the workers.
        var blindAt: Timestamp?
        /// When the leases were looked at last.
        var lookedAt: Timestamp?

        /// The leases were looked at. Where that took much longer than usual this process stood still, and so may have the
        /// whole machine with everybody on it that keeps a lease.
        mutating func looked(_ now: Timestamp, interval: Duration, lease: Duration) {
            if let lookedAt, lookedAt.duration(to: now) > interval + min(lease / 2, .seconds(15)) { blindAt = now }
            lookedAt = now
        }
    }

    struct Suspicion {
        var attempt: Int
        var since: Timestamp
    }

    private(set) var lost: [(task: TaskID, attempt: Int)] = []
    private(set) var sendAgain: [(task: TaskID, attempt: Int)] = []
    private(set) var memory = Memory()

    /// - Parameters:
    ///   - waiting: ready messages in each pool's queue.
    ///   - resultsWaiting: results that no scheduler has taken yet.
    ///   - grace: how long a message may be on its way.
    ///   - lease: how long a claim lasts without a heartbeat.
    init(
        tasks: [Task], waiting: [String: Int], resultsWaiting: Int, grace: Duration, lease: Duration, memory: Memory,
        now: Timestamp
    ) {
        // Leases that ran out while they could not be kept are given the time to be renewed.
        let wasBlind = memory.blindAt.map { $0.duration(to: now) < lease } ?? false
        self.memory.blindAt = wasBlind ? memory.blindAt : nil
        self.memory.lookedAt = memory.lookedAt
        var unclaimed: [String: (all: Int, old: [Task])] = [:]
        for task in tasks {
            let standing = task.standing.attempt == task.row.attempt ? task.standing.standing : .unknown
            switch standing {
            case .alive: continue
            case .abandoned:
                // The lease was there and is not any more: its worker is dead or stopped. Its result may have been
                // its last act, though.
                let isExcused = wasBlind || resultsWaiting > 0
                if !isExcused || suspect(task, memory, now, for: wasBlind ? lease / 2 : grace) {
                    lost.append((task.row.task, task.row.attempt))
                }
            case .done:
                // The result was confirmed, so it is in the queue or in some scheduler's hands; unless the queue
                // was emptied by hand.
                if suspect(task, memory, now, for: grace * 3), resultsWaiting == 0 {
                    lost.append((task.row.task, task.row.attempt))
                }
            case .unknown where task.row.state == .running, .dispatched where task.row.state == .running:
                // Redis forgot the claim, or came back with what it knew before it. A worker that lives puts its
                // lease back with its next heartbeat.
                if suspect(task, memory, now, for: lease) { lost.append((task.row.task, task.row.attempt)) }
            case .unknown, .dispatched:
                unclaimed[task.row.pool, default: (0, [])].all += 1
                if task.row.ageSeconds >= grace.inSeconds { unclaimed[task.row.pool]?.old.append(task) }
            }
        }
        // Young tasks have messages too, so they count: else a busy pool's traffic would hide what is missing.
        for (pool, tasks) in unclaimed where (waiting[pool] ?? 0) < tasks.all {
            // Fewer messages than tasks that wait for one. Which are gone cannot be seen, so all that still look
            // so in the next rounds are sent; the claim refuses those that come twice.
            let patience = (waiting[pool] ?? 0) == 0 ? grace : grace * 2
            for task in tasks.old where suspect(task, memory, now, for: patience) {
                sendAgain.append((task.row.task, task.row.attempt))
                // It starts anew: the next message gets its own time.
                self.memory.suspects[task.row.task] = nil
            }
        }
    }

    /// Whether the task has looked lost for `duration`, of which this round's look is a part.
    private mutating func suspect(_ task: Task, _ memory: Memory, _ now: Timestamp, for duration: Duration) -> Bool {
        let known = memory.suspects[task.row.task]
        let since = known?.attempt == task.row.attempt ? known?.since ?? now : now
        self.memory.suspects[task.row.task] = Suspicion(attempt: task.row.attempt, since: since)
        return since.duration(to: now) >= duration
    }
}

/// Carries the plan's memory from round to round; the rounds follow one another.
final class ReconcileMemory: Sendable {
    private let state = Mutex(ReconcilePlan.Memory())

    var value: ReconcilePlan.Memory {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
