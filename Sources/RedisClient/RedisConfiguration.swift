/// Where the server is and how to treat it.
///
/// Holds the password; `description` does not show it.
package struct RedisConfiguration: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package enum Address: Hashable, Sendable {
        case tcp(host: String, port: UInt16)
        case unix(path: String)
    }

    package var address: Address
    /// For `AUTH user password`; nil with a password means `AUTH password`.
    package var user: String?
    package var password: String?
    package var database = 0
    /// Shown in CLIENT LIST; no spaces.
    package var clientName: String? = "martlet"
    /// For one attempt: name lookup, TCP and the first commands.
    package var connectTimeout: Duration = .seconds(5)
    /// For a command, from the call to its reply, waiting for a connection included.
    package var commandTimeout: Duration = .seconds(5)
    /// The longest wait between two attempts to connect.
    package var maximumBackoff: Duration = .seconds(2)
    /// Commands that may be queued or in flight; the next one fails at once.
    package var maximumOutstanding = 100_000
    /// Bytes of commands that may be queued or in flight.
    package var maximumOutstandingBytes = 256 << 20
    /// A larger reply ends the connection.
    package var maximumReplyBytes = 512 << 20
    /// How often an idle subscriber asks whether its connection is alive.
    package var subscriberPingInterval: Duration = .seconds(15)

    package var description: String {
        let suffix = database == 0 ? "" : "/\(database)"
        return switch address {
        case .tcp(let host, let port):
            "redis://\(host.contains(":") ? "[\(host)]" : host):\(port)\(suffix)"
        case .unix(let path): "unix://\(path)\(database == 0 ? "" : "?db=\(database)")"
        }
    }

    package var debugDescription: String { description }
    /// `dump` and string interpolation of a containing value show the description only.
    package var customMirror: Mirror { Mirror(self, children: ["url": description]) }
}
