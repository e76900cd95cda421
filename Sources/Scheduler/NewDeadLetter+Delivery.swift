import AMQPClient
import Ledger
import Pipeline

extension NewDeadLetter {
    /// Bytes of a message's body that are kept.
    static let keptBytes = 1 << 20

    init(_ delivery: AMQPDelivery, queue: String, reason: String) {
        self.init(
            queue: queue, reason: reason, contentType: delivery.message.contentType,
            headers: .object(delivery.message.headers.mapValues(\.json)),
            body: Array(delivery.message.body.prefix(Self.keptBytes)), bodyBytes: Int(delivery.bodySize))
    }
}

extension AMQPValue {
    /// As JSON, for people.
    var json: JSONValue {
        switch self {
        case .bool(let value): .bool(value)
        case .float(let value): .double(Double(value))
        case .double(let value): .double(value)
        case .string(let value): .string(value.replacing("\0", with: "␀"))
        case .bytes(let value): .string(String(decoding: value, as: UTF8.self).replacing("\0", with: "␀"))
        case .timestamp(let seconds): .string(Timestamp(microseconds: Int64(clamping: seconds) * 1_000_000).description)
        case .table(let members): .object(members.mapValues(\.json))
        case .array(let values): .array(values.map(\.json))
        case .void: .null
        default: integer.map { .int(Int64($0)) } ?? .string("\(self)")
        }
    }
}
