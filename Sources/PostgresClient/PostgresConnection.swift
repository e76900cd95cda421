import CPostgres
import Glibc
import Logging
import SocketExecutor
import Synchronization

/// One connection to the server: a `PGconn` that only this actor's thread touches.
///
/// libpq allows one thread at a time on a `PGconn` (manual, section 34.20), so the actor runs on a
/// `SocketExecutor`: its methods, the socket's readiness and the timers share one thread. No `PGconn`
/// or `PGresult` pointer crosses an `await`. Statements given at the same time run one after
/// another, in the order of their calls.
package actor PostgresConnection {
    /// What the pool may know without a hop to the connection's thread.
    final class Health: Sendable {
        let isAlive = Atomic<Bool>(false)
        /// Idle, outside any transaction, nothing in flight.
        let isClean = Atomic<Bool>(false)
    }

    enum AbortReason {
        case cancelled
        case timedOut
    }

    struct Outcome: Sendable {
        var results: [PostgresRows] = []
        var error: PostgresError?
        var abort: AbortReason?
        /// The connection ended before the answer was complete.
        var isLost = false
    }

    /// What is in flight between the statement's first byte and `ReadyForQuery`.
    struct Exchange {
        let id: UInt64
        let continuation: CheckedContinuation<Outcome, Never>
        let isPipeline: Bool
        let started = ContinuousClock.now
        var outcome = Outcome()
        var timer: SocketExecutor.TimerID?
        /// A cancel request is on its way; its end must be known before the connection is used again.
        var cancelInFlight = false
        var answerComplete = false
        var statementIndex = 0
    }

    private static let numbers = Atomic<UInt64>(0)

    nonisolated let executor: SocketExecutor
    nonisolated package var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    nonisolated let number: UInt64
    nonisolated let health = Health()
    nonisolated let configuration: PostgresConfiguration
    nonisolated let logger: Logger
    private nonisolated let onLost: @Sendable (PostgresConnection) -> Void

    var handle: LibpqHandle?
    var connecting: CheckedContinuation<Void, any Error>?
    var connectTimer: SocketExecutor.TimerID?
    var exchange: Exchange?
    var nextExchange: UInt64 = 0
    var turn = Turn()
    var statements: StatementCache
    var notificationHandler: (@Sendable (PostgresMessage) -> Void)?
    var closeWaiters: [CheckedContinuation<Void, Never>] = []
    /// Why the connection is gone; nil while it is not.
    var lossReason: PostgresError?

    init(
        configuration: PostgresConfiguration, logger: Logger,
        onLost: @escaping @Sendable (PostgresConnection) -> Void
    ) {
        number = Self.numbers.add(1, ordering: .relaxed).newValue
        executor = SocketExecutor(name: "pg-\(number)")
        self.configuration = configuration
        self.logger = logger
        self.onLost = onLost
        statements = StatementCache(limit: configuration.preparedStatementLimit)
    }

    deinit {
        executor.stop()
    }

    nonisolated var isAlive: Bool { health.isAlive.load(ordering: .acquiring) }
    nonisolated var isClean: Bool { health.isClean.load(ordering: .acquiring) }

    /// The server's process for this connection, as in `pg_stat_activity.pid`.
    package var processID: Int32 {
        handle.map { PQbackendPID($0.pointer) } ?? 0
    }

    /// Whether a transaction is open, failed ones included.
    package var isInTransaction: Bool {
        transactionStatus != PQTRANS_IDLE
    }

    var transactionStatus: PGTransactionStatusType {
        handle.map { PQtransactionStatus($0.pointer) } ?? PQTRANS_UNKNOWN
    }

    /// Ends the connection. What is in flight fails.
    package func close() {
        lose(PostgresError(.closed, "the connection was closed"))
    }

    /// Ends the connection for `reason`: the one place where a connection dies.
    func lose(_ reason: PostgresError) {
        guard lossReason == nil else { return }
        lossReason = reason
        health.isAlive.store(false, ordering: .releasing)
        health.isClean.store(false, ordering: .releasing)
        executor.unwatch()
        handle = nil
        if let connectTimer { executor.cancelTimer(connectTimer) }
        connecting?.resume(throwing: reason)
        connecting = nil
        if var ended = exchange {
            exchange = nil
            if let timer = ended.timer { executor.cancelTimer(timer) }
            ended.outcome.isLost = true
            ended.continuation.resume(returning: ended.outcome)
        }
        turn.failAll(with: reason)
        closeWaiters.forEach { $0.resume() }
        closeWaiters = []
        onLost(self)
        executor.stop()
    }

    /// Returns when the connection is gone, whoever ended it.
    func waitUntilLost() async {
        guard lossReason == nil else { return }
        await withCheckedContinuation { closeWaiters.append($0) }
    }

    func setNotificationHandler(_ handler: @escaping @Sendable (PostgresMessage) -> Void) {
        notificationHandler = handler
    }
}
