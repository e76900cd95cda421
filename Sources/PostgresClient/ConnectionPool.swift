import Logging
import Synchronization

/// Connections that are lent out one caller at a time.
///
/// Connects when a caller waits and there is room; hands connections to waiters in the order they
/// came; drops connections that died or were left in a transaction that cannot be rolled back.
final class ConnectionPool: Sendable {
    typealias Waiting = CheckedContinuation<PostgresConnection, any Error>

    struct Waiter {
        let continuation: Waiting
        let deadline: ContinuousClock.Instant
    }

    struct State {
        var idle: [(connection: PostgresConnection, since: ContinuousClock.Instant)] = []
        var open: [UInt64: PostgresConnection] = [:]
        var connecting = 0
        var waiters = WaiterQueue<Waiter>()
        var nextWaiter: UInt64 = 0
        var isClosed = false
        var sweeper: Task<Void, Never>?
        var lastFailure: PostgresError?
        var closeWaiters: [CheckedContinuation<Void, Never>] = []
    }

    let configuration: PostgresConfiguration
    let logger: Logger
    let state = Mutex(State())

    init(configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    func acquire() async throws -> PostgresConnection {
        try Task.checkCancellation()
        if let connection = state.withLock({ Self.takeIdle(&$0) }) { return connection }
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { enqueue($0, id: id) }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.remove(id) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    private func enqueue(_ continuation: Waiting, id: UInt64) {
        enum Step {
            case take(PostgresConnection)
            case fail(any Error)
            case wait
        }
        let deadline = ContinuousClock.now + configuration.acquireTimeout
        let step = state.withLock { state -> Step in
            if state.isClosed { return .fail(Self.closedError) }
            if Task.isCancelled { return .fail(CancellationError()) }
            if let connection = Self.takeIdle(&state) { return .take(connection) }
            guard state.waiters.count < configuration.maximumWaiters else {
                return .fail(
                    PostgresError(
                        .poolExhausted, "\(configuration.maximumWaiters) calls wait for a connection already"))
            }
            state.waiters.append(id, Waiter(continuation: continuation, deadline: deadline))
            return .wait
        }
        switch step {
        case .take(let connection): continuation.resume(returning: connection)
        case .fail(let error): continuation.resume(throwing: error)
        case .wait:
            grow()
            startSweeper()
            // The task may have been cancelled before the waiter was in the queue.
            if Task.isCancelled {
                let waiter = state.withLock { $0.waiters.remove(id) }
                waiter?.continuation.resume(throwing: CancellationError())
            }
        }
    }

    private static func takeIdle(_ state: inout State) -> PostgresConnection? {
        guard !state.isClosed, state.waiters.isEmpty else { return nil }
        while let last = state.idle.popLast() {
            if last.connection.isAlive { return last.connection }
        }
        return nil
    }

    static var closedError: PostgresError {
        PostgresError(.closed, "the pool was closed")
    }

    // MARK: Giving back

    func release(_ connection: PostgresConnection) {
        guard connection.isAlive else { return forget(connection) }
        guard connection.isClean else {
            // Unstructured: the caller is done, and the rollback must not depend on its fate.
            Task {
                await connection.settle()
                putBack(connection)
            }
            return
        }
        putBack(connection)
    }

    private func putBack(_ connection: PostgresConnection) {
        enum Step {
            case hand(Waiter)
            case close([PostgresConnection])
        }
        guard connection.isAlive else { return forget(connection) }
        let step = state.withLock { state -> Step in
            if state.isClosed { return .close([connection]) }
            if let waiter = state.waiters.popFirst() { return .hand(waiter) }
            let now = ContinuousClock.now
            state.idle.append((connection, now))
            var stale: [PostgresConnection] = []
            while state.idle.count > 1, state.idle[0].since + configuration.idleTimeout < now {
                stale.append(state.idle.removeFirst().connection)
            }
            return .close(stale)
        }
        switch step {
        case .hand(let waiter): waiter.continuation.resume(returning: connection)
        case .close(let connections):
            for connection in connections { Task { await connection.close() } }
        }
    }

    /// Called when a connection has died, from its own thread or on its return.
    func forget(_ connection: PostgresConnection) {
        let finished = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.open[connection.number] = nil
            state.idle.removeAll { $0.connection === connection }
            guard state.isClosed, state.open.isEmpty else { return [] }
            defer { state.closeWaiters = [] }
            return state.closeWaiters
        }
        finished.forEach { $0.resume() }
        grow()
    }
}
