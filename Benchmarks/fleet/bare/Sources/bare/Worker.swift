import CRabbitMQ
import Glibc

/// Takes messages, publishes a result for each, and acknowledges a message once its result is confirmed.
enum Worker {
    static func run(_ arguments: Arguments) throws {
        let queue = try arguments.text("queue")
        let results = try arguments.text("results")
        let connection = try Connection(url: try Arguments.brokerURL())
        try connection.openChannel(1, prefetch: try arguments.number("prefetch", default: 64))
        try connection.openChannel(2, confirms: true)
        try connection.declareQuorumQueue(queue, channel: 1)
        try connection.declareQuorumQueue(results, channel: 1)
        try connection.consume(queue, channel: 1)
        print("ready")
        fflush(nil)
        var window = ConfirmWindow()
        var deliveries: [UInt64: UInt64] = [:]
        while true {
            switch try connection.next() {
            case .delivery(let tag, var body):
                // The stamp is when this stage ended; the next one subtracts it from when it began.
                let stamp = Array(String(Clock.wall).utf8)
                body.replaceSubrange(0..<min(body.count, stamp.count), with: stamp)
                try connection.publish(
                    body, exchange: "", routingKey: results, contentType: "text/plain", channel: 2)
                deliveries[window.published()] = tag
            case .confirm(let tag, let multiple):
                for number in window.confirm(tag, multiple: multiple) {
                    guard let delivery = deliveries.removeValue(forKey: number) else { continue }
                    let status = amqp_basic_ack(connection.state, 1, delivery, 0)
                    guard status == AMQP_STATUS_OK.rawValue else { throw BareError("cannot acknowledge") }
                }
            case .nothing: break
            }
        }
    }
}
