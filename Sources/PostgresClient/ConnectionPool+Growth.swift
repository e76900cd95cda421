import Logging
import Synchronization

extension ConnectionPool {
    /// Starts as many connects as waiting callers can use.
    func grow() {
        let starts = state.withLock { state -> Int in
            guard !state.isClosed else { return 0 }
            let room = configuration.maximumConnections - state.open.count - state.connecting
            let wanted = min(max(0, room), state.waiters.count - state.connecting)
            guard wanted > 0 else { return 0 }
            state.connecting += wanted
            return wanted
        }
        for _ in 0..<starts {
            // Unstructured: a connect serves whoever is first in line when it is done, even if the caller
            // that caused it has gone. Bounded by `connectTimeout` and by the presence of waiters.
            Task { await connectForWaiters() }
        }
    }

    private func connectForWaiters() async {
        var backoff = Backoff()
        while true {
            do {
                let connection = try await PostgresConnection.connect(
                    configuration: configuration, logger: logger
                ) { [weak self] in self?.forget($0) }
                return await adopt(connection)
            } catch {
                guard shouldRetry(after: error) else { return }
                do {
                    try await Task.sleep(for: backoff.next())
                } catch {
                    // Nobody cancels this task; if the runtime does, the next waiter starts another.
                    return state.withLock { $0.connecting -= 1 }
                }
            }
        }
    }

    private func adopt(_ connection: PostgresConnection) async {
        let isWanted = state.withLock { state -> Bool in
            state.connecting -= 1
            guard !state.isClosed else { return false }
            state.lastFailure = nil
            state.open[connection.number] = connection
            return true
        }
        guard isWanted else { return await connection.close() }
        release(connection)
    }

    private func shouldRetry(after error: any Error) -> Bool {
        let failure = error as? PostgresError ?? PostgresError(.connectionFailed, "\(error)")
        let (retry, failed) = state.withLock { state -> (Bool, [Waiter]) in
            state.lastFailure = failure
            if failure.isRetryable, !state.waiters.isEmpty, !state.isClosed { return (true, []) }
            state.connecting -= 1
            // Wrong password, unknown database, bad certificate: waiting longer would not help anyone.
            return (false, failure.isRetryable ? [] : state.waiters.removeAll())
        }
        logger.debug("PostgreSQL connect failed", metadata: ["error": "\(failure)", "retry": "\(retry)"])
        failed.forEach { $0.continuation.resume(throwing: failure) }
        return retry
    }

    // MARK: Deadlines

    /// One task watches all waiters: their limits are equal, so the first in line is the first to expire.
    func startSweeper() {
        state.withLock { state in
            guard state.sweeper == nil, !state.waiters.isEmpty, !state.isClosed else { return }
            state.sweeper = Task { [weak self] in
                while let deadline = self?.expireWaiters() {
                    do {
                        try await Task.sleep(until: deadline, clock: .continuous)
                    } catch {
                        return
                    }
                }
            }
        }
    }

    /// - Returns: when to look again; nil when nobody waits, and then the sweeper has ended.
    private func expireWaiters() -> ContinuousClock.Instant? {
        let now = ContinuousClock.now
        let (expired, next, error) = state.withLock { state in
            var expired: [Waiter] = []
            while let first = state.waiters.first(), first.deadline <= now, let waiter = state.waiters.popFirst() {
                expired.append(waiter)
            }
            let next = state.waiters.first()?.deadline
            if next == nil { state.sweeper = nil }
            return (expired, next, state.open.isEmpty ? unconnected(state.lastFailure) : exhausted)
        }
        for waiter in expired {
            waiter.continuation.resume(throwing: error)
        }
        return next
    }

    private var exhausted: PostgresError {
        PostgresError(
            .poolExhausted,
            "none of \(configuration.maximumConnections) connections came free within \(configuration.acquireTimeout)")
    }

    /// - Parameter failure: of the last connect; nil as long as the first one goes on.
    private func unconnected(_ failure: PostgresError?) -> PostgresError {
        guard var failure else {
            var error = PostgresError(
                .connectionFailed, "no connection was made within \(configuration.acquireTimeout)")
            error.isTransportFailure = true
            return error
        }
        failure.message += " (tried for \(configuration.acquireTimeout))"
        return failure
    }

    // MARK: Closing

    /// Refuses new callers, ends idle connections, waits for lent ones, and ends those still out at `limit`.
    func close(limit: Duration = .seconds(10)) async {
        let (idle, waiters, sweeper) = state.withLock { state in
            state.isClosed = true
            defer {
                state.idle = []
                state.sweeper = nil
            }
            return (state.idle.map(\.connection), state.waiters.removeAll(), state.sweeper)
        }
        sweeper?.cancel()
        waiters.forEach { $0.continuation.resume(throwing: Self.closedError) }
        for connection in idle { await connection.close() }
        let reaper = Task {
            do {
                try await Task.sleep(for: limit)
            } catch {
                return
            }
            for connection in state.withLock({ Array($0.open.values) }) { await connection.close() }
        }
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state -> Bool in
                guard !state.open.isEmpty else { return true }
                state.closeWaiters.append(continuation)
                return false
            }
            if isDone { continuation.resume() }
        }
        reaper.cancel()
    }
}

extension PostgresConnection {
    /// Makes a returned connection fit for the next caller: no transaction, nothing in flight.
    func settle() async {
        await rollBack()
        if !isClean, lossReason == nil {
            lose(PostgresError(.connectionLost, "the connection came back with a statement in flight"))
        }
    }
}
