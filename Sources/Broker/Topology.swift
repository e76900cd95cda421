package import AMQPClient

/// The exchanges and queues of the fleet. All durable, all quorum queues; whatever is dead-lettered arrives at
/// least once.
package enum Topology {
    /// Producers publish here, with any routing key.
    package static let events = "martlet.events"
    package static let eventsQueue = "martlet.scheduler.events"
    /// A queue per pool; the pool's name is the routing key.
    package static let tasks = "martlet.tasks"
    package static let results = "martlet.results"
    package static let resultsQueue = "martlet.scheduler.results"
    package static let dead = "martlet.dead"
    package static let deadQueue = "martlet.dead"

    /// Redeliveries after which a message is held to be what kills its consumers.
    package static let deliveryLimit = 20

    package static func taskQueue(pool: String) -> String { tasks + "." + pool }

    /// All but the pools' queues.
    package static let base = AMQPTopology(
        exchanges: [
            .init(events, kind: .topic), .init(tasks, kind: .direct), .init(results, kind: .direct),
            .init(dead, kind: .fanout),
        ],
        queues: [
            .init(eventsQueue, arguments: quorum), .init(resultsQueue, arguments: quorum),
            .init(deadQueue, arguments: ["x-queue-type": "quorum"]),
        ],
        bindings: [
            .init(queue: eventsQueue, to: events, routingKey: "#"),
            .init(queue: resultsQueue, to: results, routingKey: resultsQueue),
            .init(queue: deadQueue, to: dead, routingKey: ""),
        ])

    package static func pool(_ name: String) -> AMQPTopology {
        AMQPTopology(
            exchanges: [.init(tasks, kind: .direct), .init(dead, kind: .fanout)],
            queues: [.init(taskQueue(pool: name), arguments: quorum)],
            bindings: [.init(queue: taskQueue(pool: name), to: tasks, routingKey: name)])
    }

    /// At-least-once dead-lettering needs `reject-publish` (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
    private static let quorum: [String: AMQPValue] = [
        "x-queue-type": "quorum", "x-delivery-limit": .int64(Int64(deliveryLimit)),
        "x-dead-letter-exchange": .string(dead), "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    ]
}
