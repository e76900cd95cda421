import CRabbitMQ
import Glibc

/// One connection with one thread: librabbitmq as it comes.
struct Connection: ~Copyable {
    let state: amqp_connection_state_t

    /// - Parameter url: `amqp://user:password@host:port/vhost`.
    init(url: String) throws {
        state = try Self.open(url)
    }

    private static func open(_ url: String) throws -> amqp_connection_state_t {
        // amqp_parse_url cuts its argument into pieces, which live as long as the copy does.
        guard let copy = strdup(url) else { throw BareError("out of memory") }
        defer { free(copy) }
        var info = amqp_connection_info()
        guard amqp_parse_url(copy, &info) == AMQP_STATUS_OK.rawValue else {
            throw BareError("BENCH_AMQP_URL is no amqp:// URL")
        }
        guard let state = amqp_new_connection(), let socket = amqp_tcp_socket_new(state) else {
            throw BareError("out of memory")
        }
        let status = amqp_socket_open(socket, info.host, info.port)
        guard status == AMQP_STATUS_OK.rawValue else {
            throw BareError("cannot connect: \(String(cString: amqp_error_string2(status)))")
        }
        let reply = martlet_amqp_login(state, info.vhost, 0, 131_072, 0, nil, info.user, info.password)
        guard reply.reply_type == AMQP_RESPONSE_NORMAL else { throw BareError("the broker refuses the login") }
        return state
    }

    deinit {
        amqp_connection_close(state, AMQP_REPLY_SUCCESS)
        amqp_destroy_connection(state)
    }

    func openChannel(_ channel: amqp_channel_t, confirms: Bool = false, prefetch: Int = 0) throws {
        amqp_channel_open(state, channel)
        try check("channel.open")
        if confirms {
            amqp_confirm_select(state, channel)
            try check("confirm.select")
        }
        if prefetch > 0 {
            amqp_basic_qos(state, channel, 0, UInt16(clamping: prefetch), 0)
            try check("basic.qos")
        }
    }

    func declareQuorumQueue(_ name: String, channel: amqp_channel_t) throws {
        try "x-queue-type".withCString { key in
            try "quorum".withCString { value in
                var entry = amqp_table_entry_t()
                entry.key = amqp_cstring_bytes(key)
                entry.value.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
                entry.value.value.bytes = amqp_cstring_bytes(value)
                try withUnsafeMutablePointer(to: &entry) { entries in
                    let table = amqp_table_t(num_entries: 1, entries: entries)
                    try name.withCString { name in
                        amqp_queue_declare(state, channel, amqp_cstring_bytes(name), 0, 1, 0, 0, table)
                        try check("queue.declare")
                    }
                }
            }
        }
    }

    func consume(_ queue: String, channel: amqp_channel_t) throws {
        try queue.withCString { name in
            amqp_basic_consume(
                state, channel, amqp_cstring_bytes(name), amqp_empty_bytes, 0, 0, 0, amqp_empty_table)
            try check("basic.consume")
        }
    }

    func publish(
        _ body: borrowing [UInt8], exchange: String, routingKey: String, contentType: String, channel: amqp_channel_t
    ) throws {
        let status = body.withUnsafeBytes { bytes in
            exchange.withCString { exchange in
                routingKey.withCString { key in
                    contentType.withCString { type in
                        var properties = amqp_basic_properties_t()
                        properties._flags = UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG)
                        properties.delivery_mode = 2
                        properties.content_type = amqp_cstring_bytes(type)
                        let content = amqp_bytes_t(
                            len: bytes.count, bytes: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
                        return amqp_basic_publish(
                            state, channel, amqp_cstring_bytes(exchange), amqp_cstring_bytes(key), 1, 0, &properties,
                            content)
                    }
                }
            }
        }
        guard status == AMQP_STATUS_OK.rawValue else {
            throw BareError("cannot publish: \(String(cString: amqp_error_string2(status)))")
        }
    }

    private func check(_ what: String) throws {
        let reply = amqp_get_rpc_reply(state)
        guard reply.reply_type == AMQP_RESPONSE_NORMAL else { throw BareError("the broker refuses \(what)") }
    }
}
