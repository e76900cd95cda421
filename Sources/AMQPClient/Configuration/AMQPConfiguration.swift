/// Where the broker is, who we are there, and every limit the client keeps.
package struct AMQPConfiguration: Sendable {
    /// Reconnect waits: doubled from `initial` up to `maximum`, each drawn between half and all of it.
    package struct Backoff: Hashable, Sendable {
        package var initial: Duration
        package var maximum: Duration

        package init(initial: Duration = .milliseconds(100), maximum: Duration = .seconds(15)) {
            self.initial = initial
            self.maximum = maximum
        }
    }

    package struct TLS: Hashable, Sendable {
        /// PEM. Without it: `SSL_CERT_FILE`, else the system's bundle.
        package var caCertificateFile: String?
        /// PEM, for a broker that asks for a client certificate.
        package var clientCertificateFile: String?
        package var clientKeyFile: String?
        package var verifyPeer: Bool
        package var verifyHostname: Bool

        package init(
            caCertificateFile: String? = nil, clientCertificateFile: String? = nil, clientKeyFile: String? = nil,
            verifyPeer: Bool = true, verifyHostname: Bool = true
        ) {
            self.caCertificateFile = caCertificateFile
            self.clientCertificateFile = clientCertificateFile
            self.clientKeyFile = clientKeyFile
            self.verifyPeer = verifyPeer
            self.verifyHostname = verifyHostname
        }
    }

    package var host: String
    package var port: UInt16
    package var username: String
    package var password: String
    package var virtualHost: String
    /// Plain TCP if nil.
    package var tls: TLS?
    /// Proposed to the broker, which may lower it. 0 turns heartbeats off: a dead peer is then not noticed.
    package var heartbeatSeconds: UInt16 = 10
    /// For one attempt: name resolution, TCP, TLS and login together.
    package var connectTimeout: Duration = .seconds(10)
    /// For a declaration, a status, a purge and the like, reconnects included.
    package var rpcTimeout: Duration = .seconds(30)
    package var backoff = Backoff()
    /// A larger message is refused on publish; on receipt it is rejected without requeue and
    /// delivered truncated, see `AMQPDelivery.isOversized`.
    package var maximumMessageBytes: Int = 16 << 20
    /// Publishes that were written and not yet confirmed; further ones wait.
    package var maximumOutstandingPublishes: Int = 2_048

    package init(
        host: String = "localhost", port: UInt16? = nil, username: String = "guest", password: String = "guest",
        virtualHost: String = "/", tls: TLS? = nil
    ) {
        self.host = host
        self.port = port ?? (tls == nil ? 5672 : 5671)
        self.username = username
        self.password = password
        self.virtualHost = virtualHost
        self.tls = tls
    }

    /// `host:port/vhost`, as error messages and logs name the broker.
    package var endpoint: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(name):\(port)\(virtualHost == "/" ? "" : "/" + virtualHost)"
    }
}

extension AMQPConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String {
        "\(tls == nil ? "amqp" : "amqps")://\(username):***@\(endpoint)"
    }

    package var debugDescription: String { description }

    /// `dump` and mirrors must not show the password either.
    package var customMirror: Mirror {
        Mirror(self, children: ["url": description])
    }
}
