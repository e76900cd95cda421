/// Where the server is and how to treat it.
///
/// Holds the password; `description` does not show it.
package struct PostgresConfiguration: Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// Shown in `pg_stat_activity`. libpq cuts it at 63 bytes.
    package var applicationName = "martlet"
    /// For one attempt: name lookup, TCP, TLS and authentication.
    package var connectTimeout: Duration = .seconds(5)
    /// For one statement, held by the server and by the client. A call may give its own.
    package var statementTimeout: Duration = .seconds(30)
    /// How long a statement may wait for a lock before SQLSTATE 55P03; zero leaves it to `statementTimeout`.
    package var lockTimeout: Duration = .zero
    /// How long the server lets a transaction sit idle before it ends the connection.
    package var idleInTransactionTimeout: Duration = .seconds(60)
    package var maximumConnections = 4
    /// How long a call waits for a connection of the pool, attempts to connect included.
    package var acquireTimeout: Duration = .seconds(10)
    /// Calls that may wait for a connection at the same time; the next one fails at once.
    package var maximumWaiters = 10_000
    /// Idle connections older than this are closed, down to one.
    package var idleTimeout: Duration = .seconds(300)
    /// Statements kept prepared on a connection; the least recently used goes first.
    package var preparedStatementLimit = 128
    /// How long a cancelled statement may take to stop before its connection is dropped.
    package var cancelGrace: Duration = .seconds(5)

    /// The server's settings for every session, such as `plan_cache_mode`; names and values without spaces.
    package var sessionSettings: [String: String] = [:]

    /// libpq's own names for its options, as parsed from the URL.
    let options: [String: String]

    /// Takes what `psql` takes.
    /// - Parameter url: `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…` or libpq
    ///   keywords (`host=/run/postgresql dbname=martlet`). Absent parts come from libpq's environment (`PGHOST`, …).
    /// - Throws: `PostgresError` with `invalidConfiguration`, without the password.
    package init(url: String) throws {
        options = try ConnectionString.parse(url)
        if let name = options["application_name"] { applicationName = name }
        if let text = options["connect_timeout"], let seconds = Int(text), seconds > 0 {
            connectTimeout = .seconds(seconds)
        }
    }

    /// The database's name as given; nil leaves it to libpq.
    package var database: String? { options["dbname"] }
    package var user: String? { options["user"] }
    package var host: String? { options["host"] ?? options["hostaddr"] }

    package var description: String {
        let port = options["port"].map { ":\($0)" } ?? ""
        let mode = options["sslmode"].map { "?sslmode=\($0)" } ?? ""
        return "postgres://\(user ?? "")@\(host ?? "")\(port)/\(database ?? "")\(mode)"
    }

    package var debugDescription: String { description }
    /// `dump` and string interpolation of a containing value show the description only.
    package var customMirror: Mirror { Mirror(self, children: ["url": description]) }

    /// Keywords for `PQconnectStartParams`.
    var connectionParameters: [(keyword: String, value: String)] {
        var all = options
        all["application_name"] = applicationName
        all["client_encoding"] = "UTF8"
        // The client's own deadline covers the attempt; libpq's is for its blocking calls.
        all["connect_timeout"] = nil
        let settings =
            [
                "statement_timeout=\(statementTimeout.milliseconds)",
                "lock_timeout=\(lockTimeout.milliseconds)",
                "idle_in_transaction_session_timeout=\(idleInTransactionTimeout.milliseconds)",
                "datestyle=ISO,YMD", "timezone=UTC", "bytea_output=hex", "extra_float_digits=3",
            ] + sessionSettings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let ours = settings.map { "-c \($0)" }.joined(separator: " ")
        all["options"] = all["options"].map { "\($0) \(ours)" } ?? ours
        if all["keepalives_idle"] == nil { all["keepalives_idle"] = "30" }
        if all["keepalives_interval"] == nil { all["keepalives_interval"] = "10" }
        if all["keepalives_count"] == nil { all["keepalives_count"] = "3" }
        return all.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

extension Duration {
    /// Whole milliseconds, rounded up; never negative.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return min(seconds, 2_000_000) * 1_000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    }
}
