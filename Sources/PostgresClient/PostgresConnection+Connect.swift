import CPostgres
import Glibc
import Logging
import SocketExecutor
import Synchronization

extension PostgresConnection {
    /// Connects and authenticates within `connectTimeout`.
    static func connect(
        configuration: PostgresConfiguration, logger: Logger,
        onLost: @escaping @Sendable (PostgresConnection) -> Void = { _ in }
    ) async throws -> PostgresConnection {
        let connection = PostgresConnection(configuration: configuration, logger: logger, onLost: onLost)
        try await connection.open()
        return connection
    }

    private func open() async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                connecting = continuation
                startConnecting()
            }
        } onCancel: {
            Task { await self.abandonConnecting() }
        }
    }

    private func startConnecting() {
        guard let handle = LibpqHandle(parameters: configuration.connectionParameters) else {
            return lose(PostgresError(.connectionFailed, "libpq is out of memory"))
        }
        self.handle = handle
        handle.notices = NoticeLog(logger: logger, connection: handle.pointer)
        connectTimer = executor.setTimer(at: .now + configuration.connectTimeout) { [weak self] in
            self?.assumeIsolated { $0.connectTimedOut() }
        }
        guard PQstatus(handle.pointer) != CONNECTION_BAD else { return connectFailed() }
        // "Behave as if PQconnectPoll had last returned PGRES_POLLING_WRITING" (manual, 34.1).
        watchSocket(POLLOUT)
    }

    func advanceConnecting() {
        guard let handle else { return }
        switch PQconnectPoll(handle.pointer) {
        case PGRES_POLLING_READING: watchSocket(POLLIN)
        case PGRES_POLLING_WRITING: watchSocket(POLLOUT)
        case PGRES_POLLING_OK: connected(handle)
        default: connectFailed()
        }
    }

    private func connected(_ handle: LibpqHandle) {
        guard PQsetnonblocking(handle.pointer, 1) == 0 else { return connectFailed() }
        if let connectTimer { executor.cancelTimer(connectTimer) }
        connectTimer = nil
        watchSocket(POLLIN)
        health.isAlive.store(true, ordering: .releasing)
        health.isClean.store(true, ordering: .releasing)
        logger.debug(
            "PostgreSQL connected",
            metadata: ["pid": "\(PQbackendPID(handle.pointer))", "server": "\(configuration)"])
        connecting?.resume()
        connecting = nil
    }

    /// The socket can change between two polls (several addresses), so it is asked for each time.
    private func watchSocket(_ events: Int32) {
        guard let handle else { return }
        let descriptor = PQsocket(handle.pointer)
        guard descriptor >= 0 else { return connectFailed() }
        executor.watch(descriptor, events: Int16(events)) { [weak self] events in
            self?.assumeIsolated { $0.socketReady(events) }
        }
    }

    private func connectFailed() {
        let words = handle?.errorMessage ?? ""
        var error = PostgresError(
            .connectionFailed, "cannot connect to \(configuration): \(words.isEmpty ? "no reason given" : words)")
        // libpq gives no SQLSTATE for a refused connection, so the words must tell. A server with a
        // translated lc_messages that is starting up counts as a lasting refusal.
        error.isTransportFailure = !words.contains("FATAL:") || Self.isPassingRefusal(words)
        if error.isTransportFailure, Self.isLastingTransportFailure(words) { error.isTransportFailure = false }
        lose(error)
    }

    private static func isPassingRefusal(_ words: String) -> Bool {
        let passing = [
            "the database system is", "too many clients", "too many connections", "remaining connection slots",
            "terminating connection",
        ]
        return passing.contains { words.contains($0) }
    }

    private static func isLastingTransportFailure(_ words: String) -> Bool {
        let lasting = [
            "certificate", "does not support SSL", "no password supplied", "root.crt", "private key", "sslmode",
        ]
        return lasting.contains { words.contains($0) }
    }

    private func connectTimedOut() {
        guard connecting != nil else { return }
        var error = PostgresError(
            .connectionFailed, "no connection to \(configuration) within \(configuration.connectTimeout)")
        error.isTransportFailure = true
        lose(error)
    }

    private func abandonConnecting() {
        guard connecting != nil else { return }
        connecting?.resume(throwing: CancellationError())
        connecting = nil
        lose(PostgresError(.closed, "connecting was cancelled"))
    }
}
