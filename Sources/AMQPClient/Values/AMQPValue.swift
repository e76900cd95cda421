/// A value of a header or argument table, in RabbitMQ's dialect of AMQP 0-9-1
/// (https://www.rabbitmq.com/amqp-0-9-1-errata: the letters in the comments).
package enum AMQPValue: Hashable, Sendable {
    /// `t`
    case bool(Bool)
    /// `b`
    case int8(Int8)
    /// `B`
    case uint8(UInt8)
    /// `s`
    case int16(Int16)
    /// `u`
    case uint16(UInt16)
    /// `I`
    case int32(Int32)
    /// `i`
    case uint32(UInt32)
    /// `l`
    case int64(Int64)
    /// `f`
    case float(Float)
    /// `d`
    case double(Double)
    /// `D`: `value` × 10⁻ˢᶜᵃˡᵉ
    case decimal(scale: UInt8, value: UInt32)
    /// `S` with valid UTF-8
    case string(String)
    /// `x`, and `S` whose bytes are not valid UTF-8
    case bytes([UInt8])
    /// `T`: seconds since 1970
    case timestamp(UInt64)
    /// `F`
    case table([String: AMQPValue])
    /// `A`
    case array([AMQPValue])
    /// `V`
    case void

    /// Any integer case, if it fits.
    package var integer: Int? {
        switch self {
        case .int8(let value): Int(value)
        case .uint8(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int64(let value): Int(value)
        default: nil
        }
    }

    package var string: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    package var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }

    package var table: [String: AMQPValue]? {
        if case .table(let value) = self { return value }
        return nil
    }

    package var array: [AMQPValue]? {
        if case .array(let value) = self { return value }
        return nil
    }
}

extension AMQPValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral
{
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .int64(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(stringLiteral value: String) { self = .string(value) }
    package init(arrayLiteral elements: AMQPValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, AMQPValue)...) {
        self = .table(Dictionary(elements) { _, last in last })
    }
}
