/// Where a task stands. The ledger's column `tasks.state` holds the raw value.
package enum TaskState: String, Hashable, Sendable, Codable, CaseIterable {
    /// Some stage that it needs has not ended.
    case pending
    /// May be dispatched as soon as it is due; a failed attempt that will be tried again is here too.
    case ready
    /// Sent to the broker.
    case dispatched
    /// A worker has said that it is at it.
    case running
    case succeeded
    /// Will not be tried again unless somebody asks for it.
    case dead
    case cancelled
    /// Not run, because a stage that it needs did not succeed.
    case skipped

    /// Nothing more happens by itself.
    package var isTerminal: Bool {
        switch self {
        case .pending, .ready, .dispatched, .running: false
        case .succeeded, .dead, .cancelled, .skipped: true
        }
    }
}

/// Where a run stands. The ledger's column `runs.state` holds the raw value.
package enum RunState: String, Hashable, Sendable, Codable, CaseIterable {
    case pending
    case running
    case succeeded
    /// A gate refused the model. An outcome, not a failure.
    case rejected
    case failed
    case cancelled

    package var isTerminal: Bool {
        switch self {
        case .pending, .running: false
        case .succeeded, .rejected, .failed, .cancelled: true
        }
    }
}
