/// A reply, copied out of hiredis.
package indirect enum RedisValue: Hashable, Sendable {
    /// A bulk string: any bytes.
    case bytes([UInt8])
    /// A simple string: `OK`, `PONG`.
    case status(String)
    case integer(Int64)
    case array([RedisValue])
    case null
    /// An error inside an array (of EXEC or of a script); an error as the whole reply is thrown.
    case error(String)

    /// A string's text; nil for other kinds and for bytes that are no UTF-8.
    package var string: String? {
        switch self {
        case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
        case .status(let text): text
        case .integer(let value): String(value)
        case .array, .null, .error: nil
        }
    }

    /// An integer, also one in the form of a string (as hash fields are).
    package var int: Int? {
        switch self {
        case .integer(let value): Int(exactly: value)
        case .bytes, .status: string.flatMap { Int($0) }
        case .array, .null, .error: nil
        }
    }

    package var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .bytes, .status: string.flatMap { Double($0) }
        case .array, .null, .error: nil
        }
    }

    package var bytes: [UInt8]? {
        switch self {
        case .bytes(let bytes): bytes
        case .status(let text): Array(text.utf8)
        case .integer, .array, .null, .error: nil
        }
    }

    package var array: [RedisValue]? {
        guard case .array(let values) = self else { return nil }
        return values
    }

    package var isNull: Bool { self == .null }

    /// The pairs of a flat reply such as HGETALL's; nil when the reply is no array of string pairs.
    package var dictionary: [String: RedisValue]? {
        guard let flat = array, flat.count.isMultiple(of: 2) else { return nil }
        var result: [String: RedisValue] = [:]
        for index in stride(from: 0, to: flat.count, by: 2) {
            guard let key = flat[index].string else { return nil }
            result[key] = flat[index + 1]
        }
        return result
    }
}
