import CRabbitMQ

/// Publishes messages, each confirmed, up to a window of them on the way.
enum Publisher {
    enum Body: String {
        /// A CloudEvent that starts a run of a pipeline.
        case event
        /// As many bytes as such an event has.
        case plain
    }

    static func run(_ arguments: Arguments) throws {
        let count = try arguments.number("count")
        let window = max(1, try arguments.number("window", default: 256))
        let rate = try arguments.number("rate", default: 0)
        let exchange = try arguments.text("exchange", default: "")
        let key = try arguments.text("key")
        let source = try arguments.text("source", default: "/bench")
        let pipeline = try arguments.text("pipeline", default: "bench-one")
        guard let kind = Body(rawValue: try arguments.text("body", default: "plain")) else {
            throw BareError("--body is event or plain")
        }
        let connection = try Connection(url: try Arguments.brokerURL())
        try connection.openChannel(1, confirms: true)
        if exchange.isEmpty { try connection.declareQuorumQueue(key, channel: 1) }
        var unconfirmed = ConfirmWindow()
        let first = Clock.wall
        let began = Clock.monotonic
        for number in 0..<count {
            if rate > 0 {
                let due = began + Int64(number) * 1_000_000_000 / Int64(rate)
                // Confirms are taken while waiting.
                while case let left = due - Clock.monotonic, left > 0 {
                    if unconfirmed.count > 0 {
                        try takeConfirm(connection, &unconfirmed, wait: left)
                    } else {
                        Clock.sleep(until: due)
                    }
                }
            }
            while unconfirmed.count >= window { try takeConfirm(connection, &unconfirmed) }
            let body = Self.body(kind, number: number, source: source, pipeline: pipeline)
            try connection.publish(
                body, exchange: exchange, routingKey: key, contentType: "application/cloudevents+json", channel: 1)
            _ = unconfirmed.published()
        }
        while unconfirmed.count > 0 { try takeConfirm(connection, &unconfirmed) }
        let seconds = Double(Clock.monotonic - began) / 1e9
        print(#"{"first":\#(Double(first) / 1e9),"seconds":\#(seconds),"count":\#(count)}"#)
    }

    private static func takeConfirm(
        _ connection: borrowing Connection, _ window: inout ConfirmWindow, wait: Int64? = nil
    ) throws {
        if case .confirm(let tag, let multiple) = try connection.next(wait: wait) {
            _ = window.confirm(tag, multiple: multiple)
        }
    }

    private static func body(_ kind: Body, number: Int, source: String, pipeline: String) -> [UInt8] {
        switch kind {
        case .event:
            Array(
                #"{"specversion":"1.0","type":"dev.martlet.data.available.v1","source":"\#(source)","id":"\#(number)","datacontenttype":"application/json","data":{"pipeline":"\#(pipeline)"}}"#
                    .utf8)
        case .plain: Array(String(number).utf8) + [UInt8](repeating: UInt8(ascii: " "), count: 160)
        }
    }
}
