/// The one error of this library.
///
/// `description` is safe to log: it holds no parameter, no password and no row. The server's
/// `detail` often quotes row values, so it is only in `debugDescription`.
package struct PostgresError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    package var code: PostgresErrorCode
    /// For a server error the server's words, which may quote a value; else what is wrong and what to do.
    package var message: String
    /// Five characters, as in appendix A of the PostgreSQL manual; nil when the server did not speak.
    package var sqlState: String?
    /// `ERROR`, `FATAL` or `PANIC`, whatever the server's language.
    package var severity: String?
    package var detail: String?
    package var hint: String?
    package var schema: String?
    package var table: String?
    package var column: String?
    package var dataType: String?
    package var constraint: String?
    /// The server's source function that raised the error; tells apart cases that share a SQLSTATE.
    package var routine: String?
    /// Where in the SQL text the error is, counted in characters from 1.
    package var position: Int?
    /// The position of the failed statement in a pipeline, from 0.
    package var statementIndex: Int?
    /// What led to this error, already safe to log.
    package var cause: String?

    package init(_ code: PostgresErrorCode, _ message: String, cause: String? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// Whether the same call may simply be made again: it had no effect, and the reason passes.
    ///
    /// A serialization failure or a deadlock means the whole transaction, not the one statement.
    package var isRetryable: Bool {
        switch code {
        case .connectionLost, .poolExhausted: true
        case .connectionFailed: sqlState.map(Self.isPassing(_:)) ?? isTransportFailure
        case .server: sqlState.map(Self.isPassing(_:)) ?? false
        default: false
        }
    }

    /// Whether the reason passes by itself. Includes `outcomeUnknown` and `timedOut`: a caller whose
    /// work is idempotent may repeat it.
    package var isTransient: Bool {
        isRetryable || code == .outcomeUnknown || code == .timedOut
    }

    package var isUniqueViolation: Bool { sqlState == "23505" }
    package var isSerializationFailure: Bool { sqlState == "40001" }
    package var isDeadlock: Bool { sqlState == "40P01" }

    /// Set when the socket, not the server's answer, failed, or nobody has answered yet.
    var isTransportFailure = false

    package var description: String {
        var text = "PostgreSQL: \(code)"
        if let sqlState { text += " \(sqlState)" }
        text += ": \(safeMessage)"
        if let statementIndex { text += " (statement \(statementIndex) of the pipeline)" }
        let places = [("table", table), ("column", column), ("constraint", constraint)]
        for case (let kind, let name?) in places { text += "; \(kind) \(name)" }
        if let hint { text += "; hint: \(hint)" }
        if let cause { text += "; cause: \(cause)" }
        return text
    }

    package var debugDescription: String {
        var text = "PostgreSQL: \(code)"
        if let sqlState { text += " \(sqlState)" }
        text += ": \(message)"
        if let detail { text += "; detail: \(detail)" }
        if let hint { text += "; hint: \(hint)" }
        if let position { text += "; at character \(position)" }
        if let cause { text += "; cause: \(cause)" }
        return text
    }

    /// Class 22 (data exceptions) and a few others quote the offending value after the first colon or quote.
    private var safeMessage: String {
        guard code == .server, let sqlState else { return message }
        let quotesValues = sqlState.hasPrefix("22") || sqlState == "42804"
        guard quotesValues, let cut = message.firstIndex(where: { $0 == ":" || $0 == "\"" }) else { return message }
        return message[..<cut] + "…"
    }

    /// Serialization failure, deadlock, lock not available, lack of resources, shutdown and start-up.
    private static func isPassing(_ state: String) -> Bool {
        switch state {
        case "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05": true
        default: state.hasPrefix("53") || state.hasPrefix("08")
        }
    }
}
