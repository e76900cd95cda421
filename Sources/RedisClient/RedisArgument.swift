/// One word of a command, sent by length, so any bytes are safe.
package enum RedisArgument: Hashable, Sendable {
    case string(String)
    case bytes([UInt8])
    case integer(Int64)
    case double(Double)
    /// A script's SHA-1, for `EVALSHA` in a pipeline; the client loads the script when it must.
    case script(RedisScript)

    package static func integer(_ value: Int) -> Self { .integer(Int64(value)) }
    package static func int(_ value: Int) -> Self { .integer(Int64(value)) }

    func append(to output: inout [UInt8]) {
        switch self {
        case .string(let value): output.append(contentsOf: value.utf8)
        case .bytes(let value): output.append(contentsOf: value)
        case .integer(let value): output.append(contentsOf: String(value).utf8)
        case .double(let value): output.append(contentsOf: Self.text(of: value).utf8)
        case .script(let script): output.append(contentsOf: script.sha1.utf8)
        }
    }

    /// As Redis reads doubles: `inf` and `nan`, else the shortest text that gives the same value.
    private static func text(of value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value > 0 ? "inf" : "-inf" }
        return value.description
    }
}

extension RedisArgument: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
}
