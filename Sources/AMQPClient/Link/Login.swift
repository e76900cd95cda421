import CRabbitMQ
import Glibc

/// TCP, TLS and the AMQP login, on a thread that may block. Every step keeps the deadline, except the
/// resolver, which has its own.
struct Login {
    private static let frameMax: Int32 = 131_072

    let configuration: AMQPConfiguration
    let connectionName: String
    let deadline: ContinuousClock.Instant

    func run() throws(AMQPError) -> AMQPTransport {
        guard let state = amqp_new_connection() else {
            throw AMQPError(.connectionFailed, "no memory for a connection", isRetryable: true)
        }
        do throws(AMQPError) {
            if let tls = configuration.tls {
                try openTLS(state, tls)
            } else {
                guard let socket = amqp_tcp_socket_new(state) else {
                    throw AMQPError(.connectionFailed, "no memory for a socket", isRetryable: true)
                }
                amqp_tcp_socket_set_sockfd(socket, try TCPConnector.connect(configuration, deadline: deadline))
            }
            try login(state)
        } catch {
            amqp_destroy_connection(state)
            throw error
        }
        return AMQPTransport(state: state, isTLS: configuration.tls != nil, endpoint: configuration.endpoint)
    }

    private func timeLeft() throws(AMQPError) -> timeval {
        let left = ContinuousClock.now.duration(to: deadline)
        guard left > .zero else { throw timedOut("TCP connect") }
        return left.timeval
    }

    private func timedOut(_ step: String) -> AMQPError {
        AMQPError(
            .timeout,
            "the broker at \(configuration.endpoint) did not answer within \(configuration.connectTimeout) (\(step)); "
                + "check that it is RabbitMQ's AMQP port and not overloaded",
            isRetryable: true)
    }

    // MARK: AMQP

    private func login(_ state: amqp_connection_state_t) throws(AMQPError) {
        var left = try timeLeft()
        amqp_set_handshake_timeout(state, &left)
        amqp_set_rpc_timeout(state, &left)
        let arena = Arena()
        // `connection.blocked` and `basic.cancel` are sent only to clients that say they understand them.
        var properties = try arena.table([
            "connection_name": .string(connectionName),
            "product": "martlet",
            "capabilities": [
                "authentication_failure_close": true, "basic.nack": true, "connection.blocked": true,
                "consumer_cancel_notify": true, "publisher_confirms": true,
            ],
        ])
        let reply = martlet_amqp_login(
            state, configuration.virtualHost, 0, Self.frameMax, Int32(configuration.heartbeatSeconds), &properties,
            configuration.username, configuration.password)
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL:
            return
        case AMQP_RESPONSE_SERVER_EXCEPTION:
            guard reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD,
                let close = reply.reply.decoded?.load(as: amqp_connection_close_t.self)
            else { break }
            throw refused(code: close.reply_code, text: String(copying: close.reply_text))
        case AMQP_RESPONSE_LIBRARY_EXCEPTION:
            if reply.library_error == AMQP_STATUS_TIMEOUT.rawValue { throw timedOut("AMQP login") }
            throw AMQPError(
                .connectionFailed,
                "the broker at \(configuration.endpoint) ended the login: "
                    + "\(String(cString: amqp_error_string2(reply.library_error))); check that this is RabbitMQ's "
                    + (configuration.tls == nil ? "plain AMQP port (for its TLS port write amqps://)" : "TLS port"),
                isRetryable: true)
        default:
            break
        }
        throw AMQPError(
            .connectionFailed, "the broker at \(configuration.endpoint) closed the connection during the login",
            isRetryable: true)
    }

    private func refused(code: UInt16, text: String) -> AMQPError {
        let place = "the broker at \(configuration.endpoint)"
        switch code {
        case 403:
            return AMQPError(
                .accessRefused,
                "\(place) refused user '\(configuration.username)': \(text); check user and password in the broker "
                    + "URL (guest may log in from localhost only)", replyCode: code)
        case 530 where text.contains("not found"):
            return AMQPError(
                .virtualHostNotFound,
                "\(place) has no virtual host '\(configuration.virtualHost)': \(text); create it with "
                    + "'rabbitmqctl add_vhost' or correct the URL's path", replyCode: code)
        case 530 where text.contains("refused"):
            return AMQPError(
                .accessRefused,
                "user '\(configuration.username)' may not use virtual host '\(configuration.virtualHost)': \(text); "
                    + "grant it with 'rabbitmqctl set_permissions'", replyCode: code)
        default:
            return AMQPError(
                .connectionFailed, "\(place) refused the connection: \(code) \(text)", isRetryable: true,
                replyCode: code)
        }
    }

    // MARK: TLS

    private func openTLS(
        _ state: amqp_connection_state_t, _ tls: AMQPConfiguration.TLS
    ) throws(AMQPError) {
        guard let socket = amqp_ssl_socket_new(state) else {
            throw AMQPError(.tlsFailed, "librabbitmq cannot make a TLS socket", isRetryable: true)
        }
        amqp_ssl_socket_set_verify_peer(socket, tls.verifyPeer ? 1 : 0)
        amqp_ssl_socket_set_verify_hostname(socket, tls.verifyHostname ? 1 : 0)
        amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST)
        if tls.verifyPeer {
            let file = try caCertificates(tls)
            guard amqp_ssl_socket_set_cacert(socket, file) == AMQP_STATUS_OK.rawValue else {
                throw AMQPError(
                    .tlsFailed, "CA certificate file '\(file)' cannot be used; it must be a readable PEM file")
            }
        }
        if let certificate = tls.clientCertificateFile, let key = tls.clientKeyFile {
            guard amqp_ssl_socket_set_key(socket, certificate, key) == AMQP_STATUS_OK.rawValue else {
                throw AMQPError(
                    .tlsFailed,
                    "client certificate '\(certificate)' and key '\(key)' cannot be used; both must be readable PEM "
                        + "files that belong together")
            }
        } else if tls.clientCertificateFile != nil || tls.clientKeyFile != nil {
            throw AMQPError(.tlsFailed, "give both the client certificate file and the client key file, or neither")
        }
        var left = try timeLeft()
        let status = amqp_socket_open_noblock(socket, configuration.host, Int32(configuration.port), &left)
        guard status == AMQP_STATUS_OK.rawValue else { throw try tlsFailure(status, tls) }
    }

    private func tlsFailure(_ status: Int32, _ tls: AMQPConfiguration.TLS) throws(AMQPError) -> AMQPError {
        let place = "the broker at \(configuration.endpoint)"
        let text = String(cString: amqp_error_string2(status))
        switch amqp_status_enum(rawValue: status) {
        case AMQP_STATUS_TIMEOUT:
            return timedOut("TLS handshake")
        case AMQP_STATUS_SSL_PEER_VERIFY_FAILED, AMQP_STATUS_SSL_CONNECTION_FAILED, AMQP_STATUS_SSL_ERROR:
            return AMQPError(
                .tlsFailed,
                "TLS with \(place) failed: \(text); check that the port speaks TLS and that its certificate is "
                    + "signed by \(tls.caCertificateFile.map { "'\($0)'" } ?? "a CA of the system's bundle") and not expired"
            )
        case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
            return AMQPError(
                .tlsFailed,
                "the certificate of \(place) is not for host '\(configuration.host)'; connect by a name that it lists")
        default:
            // librabbitmq says only "socket error". Once more without TLS, for the reason.
            Glibc.close(try TCPConnector.connect(configuration, deadline: deadline))
            return AMQPError(.connectionFailed, "cannot connect to \(place): \(text)", isRetryable: true)
        }
    }

    private func caCertificates(_ tls: AMQPConfiguration.TLS) throws(AMQPError) -> String {
        if let file = tls.caCertificateFile { return file }
        if let file = getenv("SSL_CERT_FILE") { return String(cString: file) }
        let bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
        guard let file = bundles.first(where: { access($0, R_OK) == 0 }) else {
            throw AMQPError(.tlsFailed, "no CA certificates found; give a CA certificate file (cacertfile=…)")
        }
        return file
    }
}
