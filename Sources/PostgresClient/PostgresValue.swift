/// A bound parameter.
///
/// Values travel in text form with their type left to the server, so `$1` takes the type that the
/// statement needs (`$1::uuid`, a column's type, …); bytes travel in binary form as `bytea`.
package enum PostgresValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case text(String)
    case bytes([UInt8])
    /// A JSON document, for `json` and `jsonb`.
    case json(String)
    case timestamp(PostgresTimestamp)
    /// A UUID in its text form.
    case uuid(String)
    case textArray([String?])
    case intArray([Int64?])
    case doubleArray([Double?])
    case boolArray([Bool?])
    case bytesArray([[UInt8]?])
    case timestampArray([PostgresTimestamp?])
    case jsonArray([String?])

    package static func int(_ value: Int) -> Self { .int(Int64(value)) }
    package static func textArray(_ values: [String]) -> Self { .textArray(values.map(Optional.some)) }
    package static func intArray(_ values: [Int64]) -> Self { .intArray(values.map(Optional.some)) }
    package static func intArray(_ values: [Int]) -> Self { .intArray(values.map { Int64($0) }) }
    package static func doubleArray(_ values: [Double]) -> Self { .doubleArray(values.map(Optional.some)) }
    package static func boolArray(_ values: [Bool]) -> Self { .boolArray(values.map(Optional.some)) }
    package static func bytesArray(_ values: [[UInt8]]) -> Self { .bytesArray(values.map(Optional.some)) }
    package static func timestampArray(_ values: [PostgresTimestamp]) -> Self {
        .timestampArray(values.map(Optional.some))
    }
    package static func jsonArray(_ values: [String]) -> Self { .jsonArray(values.map(Optional.some)) }
    /// UUIDs in text form; write `$1::uuid[]`.
    package static func uuidArray(_ values: [String]) -> Self { .textArray(values) }

    /// The value, or NULL for nil.
    package static func optional(_ value: String?) -> Self { value.map(Self.text) ?? .null }
    package static func optional(_ value: Int?) -> Self { value.map { .int(Int64($0)) } ?? .null }
    package static func optional(_ value: Int64?) -> Self { value.map { .int($0) } ?? .null }
    package static func optional(_ value: Double?) -> Self { value.map(Self.double) ?? .null }
    package static func optional(_ value: Bool?) -> Self { value.map(Self.bool) ?? .null }
    package static func optional(_ value: [UInt8]?) -> Self { value.map(Self.bytes) ?? .null }
    package static func optional(_ value: PostgresTimestamp?) -> Self { value.map(Self.timestamp) ?? .null }
    package static func optional(json value: String?) -> Self { value.map(Self.json) ?? .null }
    package static func optional(uuid value: String?) -> Self { value.map(Self.uuid) ?? .null }
}

extension PostgresValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation
{
    package init(nilLiteral: ()) { self = .null }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(stringLiteral value: String) { self = .text(value) }
}
