import CRabbitMQ

/// The methods of a declaration, in order, each with what it declares for error messages.
enum TopologyRequests {
    static func exchange(_ exchange: AMQPTopology.Exchange) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_exchange_declare_t()
            method.exchange = output.arena.bytes(exchange.name)
            method.type = output.arena.bytes(exchange.kind.rawValue)
            method.durable = exchange.durable ? 1 : 0
            method.auto_delete = exchange.autoDelete ? 1 : 0
            method.internal = exchange.isInternal ? 1 : 0
            method.arguments = try output.arena.table(exchange.arguments)
            try output.method(AMQP_EXCHANGE_DECLARE_METHOD, method, channel: channel)
        }
    }

    static func queue(_ queue: AMQPTopology.Queue) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_queue_declare_t()
            method.queue = output.arena.bytes(queue.name)
            method.durable = queue.durable ? 1 : 0
            method.exclusive = queue.exclusive ? 1 : 0
            method.auto_delete = queue.autoDelete ? 1 : 0
            method.arguments = try output.arena.table(queue.arguments)
            try output.method(AMQP_QUEUE_DECLARE_METHOD, method, channel: channel)
        }
    }

    static func binding(_ binding: AMQPTopology.Binding) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_queue_bind_t()
            method.queue = output.arena.bytes(binding.queue)
            method.exchange = output.arena.bytes(binding.exchange)
            method.routing_key = output.arena.bytes(binding.routingKey)
            method.arguments = try output.arena.table(binding.arguments)
            try output.method(AMQP_QUEUE_BIND_METHOD, method, channel: channel)
        }
    }

    static func status(of queue: String) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_queue_declare_t()
            method.queue = output.arena.bytes(queue)
            method.passive = 1
            try output.method(AMQP_QUEUE_DECLARE_METHOD, method, channel: channel)
        }
    }

    static func purge(_ queue: String) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_queue_purge_t()
            method.queue = output.arena.bytes(queue)
            try output.method(AMQP_QUEUE_PURGE_METHOD, method, channel: channel)
        }
    }

    static func deleteQueue(_ queue: String) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_queue_delete_t()
            method.queue = output.arena.bytes(queue)
            try output.method(AMQP_QUEUE_DELETE_METHOD, method, channel: channel)
        }
    }

    static func deleteExchange(_ exchange: String) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_exchange_delete_t()
            method.exchange = output.arena.bytes(exchange)
            try output.method(AMQP_EXCHANGE_DELETE_METHOD, method, channel: channel)
        }
    }

    static func get(_ queue: String) -> RPCCall.Request {
        { (output, channel) throws(AMQPError) in
            var method = amqp_basic_get_t()
            method.queue = output.arena.bytes(queue)
            try output.method(AMQP_BASIC_GET_METHOD, method, channel: channel)
        }
    }
}
