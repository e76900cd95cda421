import CRabbitMQ
import Glibc

/// Takes results until there are enough, and says how long they were on their way.
enum Collector {
    static func run(_ arguments: Arguments) throws {
        let queue = try arguments.text("queue")
        let count = try arguments.number("count")
        let connection = try Connection(url: try Arguments.brokerURL())
        try connection.openChannel(1, prefetch: 512)
        try connection.declareQuorumQueue(queue, channel: 1)
        try connection.consume(queue, channel: 1)
        print("ready")
        fflush(nil)
        var latencies: [Int64] = []
        latencies.reserveCapacity(count)
        var last: Int64 = 0
        while latencies.count < count {
            guard case .delivery(let tag, let body) = try connection.next() else { continue }
            last = Clock.wall
            let stamp = String(decoding: body, as: UTF8.self).prefix { $0.isNumber }
            guard let sent = Int64(stamp) else { throw BareError("a result has no stamp") }
            latencies.append(last - sent)
            let status = amqp_basic_ack(connection.state, 1, tag, 0)
            guard status == AMQP_STATUS_OK.rawValue else { throw BareError("cannot acknowledge") }
        }
        let list = latencies.map { String(Double($0) / 1e9) }.joined(separator: ",")
        print(#"{"last":\#(Double(last) / 1e9),"latencies":[\#(list)]}"#)
    }
}
