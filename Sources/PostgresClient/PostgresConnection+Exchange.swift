import CPostgres
import Glibc
import Logging
import SocketExecutor
import Synchronization

extension PostgresConnection {
    /// Runs `body` when every statement given before it has finished.
    func withTurn<T: Sendable>(shielded: Bool = false, _ body: () async throws -> T) async throws -> T {
        if let lossReason { throw unsent(lossReason) }
        if !turn.takeIfFree() {
            nextExchange += 1
            let id = nextExchange
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { turn.wait(id: id, $0) }
            } onCancel: {
                // A rollback must wait its turn even when its task is cancelled.
                if !shielded { Task { await self.cancelTurn(id) } }
            }
        }
        health.isClean.store(false, ordering: .releasing)
        defer {
            turn.release()
            let isClean = turn.isFree && lossReason == nil && transactionStatus == PQTRANS_IDLE
            health.isClean.store(isClean, ordering: .releasing)
        }
        return try await body()
    }

    private func cancelTurn(_ id: UInt64) {
        turn.cancel(id: id)
    }

    /// Sends one request and collects its answer. The caller holds the turn.
    /// - Parameters:
    ///   - timeout: zero for none.
    ///   - shielded: the task's cancellation does not reach the statement (COMMIT, ROLLBACK, probes).
    ///   - send: calls one of libpq's `PQsend…` functions; false when libpq refused.
    func transact(
        timeout: Duration, shielded: Bool = false, isPipeline: Bool = false, endsTransaction: Bool = false,
        send: (OpaquePointer) -> Bool
    ) async throws -> [PostgresRows] {
        if !shielded { try Task.checkCancellation() }
        try checkSocket()
        guard let handle else { throw lostBeforeSending }
        let wasInTransaction = transactionStatus == PQTRANS_INTRANS
        guard send(handle.pointer) else {
            let words = handle.errorMessage
            if PQstatus(handle.pointer) == CONNECTION_BAD {
                lose(PostgresError(.connectionLost, words))
                throw lostBeforeSending
            }
            throw PostgresError(.invalidParameter, "libpq refused the statement: \(words)")
        }
        nextExchange += 1
        let id = nextExchange
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange = Exchange(id: id, continuation: continuation, isPipeline: isPipeline)
                if timeout > .zero {
                    exchange?.timer = executor.setTimer(at: .now + timeout) { [weak self] in
                        self?.assumeIsolated { $0.abort(id, .timedOut) }
                    }
                }
                flush()
            }
        } onCancel: {
            if !shielded { Task { await self.abort(id, .cancelled) } }
        }
        if outcome.isLost {
            throw lossError(outcome, isCertain: wasInTransaction && !endsTransaction)
        }
        if outcome.abort != nil { try await proveIdle() }
        return try verdict(outcome, timeout: timeout)
    }

    private func verdict(_ outcome: Outcome, timeout: Duration) throws -> [PostgresRows] {
        guard var error = outcome.error else { return outcome.results }
        guard error.sqlState == "57014" else { throw error }
        switch outcome.abort {
        case .cancelled: throw CancellationError()
        case .timedOut:
            error.message = "the statement did not finish within \(timeout) and was cancelled"
            throw error
        case nil: throw error
        }
    }

    /// After a cancel request a late signal could still hit the next statement: spend it on this one.
    private func proveIdle() async throws {
        for _ in 0..<3 {
            do {
                _ = try await transact(timeout: configuration.cancelGrace, shielded: true) {
                    PQsendQueryParams($0, "SELECT 1", 0, nil, nil, nil, nil, 0) == 1
                }
                return
            } catch let error as PostgresError where error.sqlState == "57014" {
                continue
            } catch let error as PostgresError where error.sqlState == "25P02" {
                return  // A failed transaction refuses the probe; that is an answer too.
            }
        }
        lose(PostgresError(.connectionLost, "the connection did not become idle after a cancelled statement"))
    }

    /// Asks the server to stop statement `id`; drops the connection when it does not within `cancelGrace`.
    func abort(_ id: UInt64, _ reason: AbortReason) {
        guard let handle, exchange?.id == id, exchange?.outcome.abort == nil else { return }
        exchange?.outcome.abort = reason
        if let timer = exchange?.timer { executor.cancelTimer(timer) }
        exchange?.timer = executor.setTimer(at: .now + configuration.cancelGrace) { [weak self] in
            self?.assumeIsolated {
                guard $0.exchange?.id == id else { return }
                $0.lose(PostgresError(.connectionLost, "a cancelled statement did not stop in time"))
            }
        }
        sendCancel(handle, id, again: .milliseconds(100))
    }

    /// The server drops a request that finds its session between two messages of the statement, so that it is sent until
    /// the statement ends.
    private func sendCancel(_ handle: LibpqHandle, _ id: UInt64, again pause: Duration) {
        exchange?.cancelInFlight = true
        CancelRequest.send(handle.pointer) { [weak self] failure in
            Task { await self?.cancelSent(id, failure, again: pause) }
        }
    }

    private func cancelSent(_ id: UInt64, _ failure: String?, again pause: Duration) {
        guard exchange?.id == id else { return }
        if let failure {
            logger.debug("PostgreSQL cancel request failed", metadata: ["reason": "\(failure)"])
        }
        exchange?.cancelInFlight = false
        completeExchangeIfDone()
        guard exchange?.id == id else { return }
        _ = executor.setTimer(at: .now + pause) { [weak self] in
            self?.assumeIsolated {
                guard let handle = $0.handle, $0.exchange?.id == id else { return }
                $0.sendCancel(handle, id, again: pause * 2)
            }
        }
    }

    // MARK: Socket events

    func socketReady(_ events: Int16) {
        if connecting != nil { return advanceConnecting() }
        guard handle != nil else { return }
        if Int32(events) & POLLOUT != 0 { flush() }
        if Int32(events) & ~POLLOUT != 0 { receive() }
    }

    private func flush() {
        guard let handle else { return }
        switch PQflush(handle.pointer) {
        case 0: executor.setWatchedEvents(Int16(POLLIN))
        case 1: executor.setWatchedEvents(Int16(POLLIN | POLLOUT))
        default: receive()  // The server's reason may still be readable; reading notices the end as well.
        }
    }

    private func receive() {
        guard let handle else { return }
        guard PQconsumeInput(handle.pointer) == 1 else {
            collectResults(handle)
            return lose(PostgresError(.connectionLost, handle.errorMessage))
        }
        deliverNotifications(handle)
        collectResults(handle)
        if self.handle != nil, PQstatus(handle.pointer) == CONNECTION_BAD {
            lose(PostgresError(.connectionLost, handle.errorMessage))
        }
    }

    private func collectResults(_ handle: LibpqHandle) {
        guard exchange != nil, exchange?.answerComplete == false else { return }
        while PQisBusy(handle.pointer) == 0 {
            guard let result = PQgetResult(handle.pointer) else {
                if exchange?.isPipeline == true, PQstatus(handle.pointer) != CONNECTION_BAD {
                    // In a pipeline nil only ends one statement. A second nil in a row means that nothing is due.
                    exchange?.statementIndex += 1
                    guard let next = PQisBusy(handle.pointer) == 0 ? PQgetResult(handle.pointer) : nil else { return }
                    if absorb(next) { return }
                    continue
                }
                exchange?.answerComplete = true
                return completeExchangeIfDone()
            }
            if absorb(result) { return }
        }
    }

    /// Takes one result in. True when the exchange is over.
    private func absorb(_ result: OpaquePointer) -> Bool {
        defer { PQclear(result) }
        switch PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
            exchange?.outcome.results.append(LibpqResult.rows(result))
        case PGRES_PIPELINE_SYNC:
            exchange?.answerComplete = true
            completeExchangeIfDone()
            return true
        case PGRES_PIPELINE_ABORTED:
            break  // The first error is kept; the rest did not run.
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            lose(PostgresError(.unsupported, "COPY is not supported; use unnest($1::text[], …) for batches"))
            return true
        default:
            guard exchange?.outcome.error == nil else { break }
            var error = LibpqResult.error(result)
            if exchange?.isPipeline == true { error.statementIndex = exchange?.statementIndex }
            if error.sqlState == "57014", exchange?.outcome.abort == nil { error = withoutTimeout(error) }
            exchange?.outcome.error = error
        }
        return false
    }

    /// A 57014 that came before the time was up is an administrator's `pg_cancel_backend`.
    private func withoutTimeout(_ error: PostgresError) -> PostgresError {
        guard let started = exchange?.started, configuration.statementTimeout > .zero else { return error }
        var error = error
        let elapsed = started.duration(to: .now)
        error.code = elapsed * 10 >= configuration.statementTimeout * 9 ? .timedOut : .server
        return error
    }

    private func completeExchangeIfDone() {
        guard let done = exchange, done.answerComplete, !done.cancelInFlight else { return }
        // A FATAL error ends the answer and the connection: the loss speaks for both.
        if let handle, PQstatus(handle.pointer) == CONNECTION_BAD {
            return lose(PostgresError(.connectionLost, handle.errorMessage))
        }
        exchange = nil
        if let timer = done.timer { executor.cancelTimer(timer) }
        done.continuation.resume(returning: done.outcome)
    }

    /// Notices a connection that died while idle, before anything is sent on it.
    private func checkSocket() throws {
        guard let handle else { throw lostBeforeSending }
        var descriptor = pollfd(fd: PQsocket(handle.pointer), events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, 0) != 0 else { return }
        receive()
        guard self.handle != nil else { throw lostBeforeSending }
    }

    private func deliverNotifications(_ handle: LibpqHandle) {
        while let notification = PQnotifies(handle.pointer) {
            defer { PQfreemem(notification) }
            let message = PostgresMessage(
                channel: String(cString: notification.pointee.relname),
                payload: notification.pointee.extra.map { String(cString: $0) } ?? "",
                processID: notification.pointee.be_pid)
            notificationHandler?(message)
        }
    }

    // MARK: Errors of a lost connection

    private var lostBeforeSending: PostgresError {
        unsent(lossReason ?? PostgresError(.connectionLost, "the connection is gone"))
    }

    private func unsent(_ reason: PostgresError) -> PostgresError {
        guard reason.code != .closed else { return reason }
        return PostgresError(
            .connectionLost, "the connection was lost before the statement was sent", cause: reason.message)
    }

    private func lossError(_ outcome: Outcome, isCertain: Bool) -> any Error {
        if case .cancelled? = outcome.abort { return CancellationError() }
        let cause = outcome.error?.description ?? lossReason?.message
        if lossReason?.code == .unsupported, let lossReason { return lossReason }
        if isCertain {
            return PostgresError(
                .connectionLost, "the connection was lost inside a transaction, which the server rolls back",
                cause: cause)
        }
        return PostgresError(
            .outcomeUnknown,
            "the connection was lost before the answer came: the statement may or may not have taken effect",
            cause: cause)
    }
}
