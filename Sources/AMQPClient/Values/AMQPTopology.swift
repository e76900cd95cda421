/// Exchanges, queues and bindings to declare together. Declaring what exists with equal properties
/// does nothing.
package struct AMQPTopology: Sendable {
    package struct Exchange: Hashable, Sendable {
        package enum Kind: String, Sendable {
            case direct, fanout, topic, headers
        }

        package var name: String
        package var kind: Kind
        package var durable: Bool
        package var autoDelete: Bool
        /// An internal exchange takes messages from other exchanges only.
        package var isInternal: Bool
        package var arguments: [String: AMQPValue]

        package init(
            _ name: String, kind: Kind = .direct, durable: Bool = true, autoDelete: Bool = false,
            isInternal: Bool = false, arguments: [String: AMQPValue] = [:]
        ) {
            self.name = name
            self.kind = kind
            self.durable = durable
            self.autoDelete = autoDelete
            self.isInternal = isInternal
            self.arguments = arguments
        }
    }

    package struct Queue: Hashable, Sendable {
        package var name: String
        package var durable: Bool
        package var exclusive: Bool
        package var autoDelete: Bool
        /// Such as `x-queue-type`, `x-delivery-limit`, `x-dead-letter-exchange`.
        package var arguments: [String: AMQPValue]

        package init(
            _ name: String, durable: Bool = true, exclusive: Bool = false, autoDelete: Bool = false,
            arguments: [String: AMQPValue] = [:]
        ) {
            self.name = name
            self.durable = durable
            self.exclusive = exclusive
            self.autoDelete = autoDelete
            self.arguments = arguments
        }
    }

    package struct Binding: Hashable, Sendable {
        package var queue: String
        package var exchange: String
        package var routingKey: String
        package var arguments: [String: AMQPValue]

        package init(
            queue: String, to exchange: String, routingKey: String, arguments: [String: AMQPValue] = [:]
        ) {
            self.queue = queue
            self.exchange = exchange
            self.routingKey = routingKey
            self.arguments = arguments
        }
    }

    package var exchanges: [Exchange]
    package var queues: [Queue]
    package var bindings: [Binding]

    package init(exchanges: [Exchange] = [], queues: [Queue] = [], bindings: [Binding] = []) {
        self.exchanges = exchanges
        self.queues = queues
        self.bindings = bindings
    }
}
