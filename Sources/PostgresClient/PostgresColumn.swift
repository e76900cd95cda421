/// A column of a result.
package struct PostgresColumn: Hashable, Sendable {
    package let name: String
    /// The type's OID in `pg_type`.
    package let type: UInt32

    /// The type's name for messages.
    package var typeName: String {
        switch type {
        case 16: "bool"
        case 17: "bytea"
        case 18: "char"
        case 19: "name"
        case 20: "int8"
        case 21: "int2"
        case 23: "int4"
        case 25: "text"
        case 26: "oid"
        case 114: "json"
        case 700: "float4"
        case 701: "float8"
        case 1042: "bpchar"
        case 1043: "varchar"
        case 1082: "date"
        case 1114: "timestamp"
        case 1184: "timestamptz"
        case 1186: "interval"
        case 1700: "numeric"
        case 2950: "uuid"
        case 3802: "jsonb"
        case 1000: "bool[]"
        case 1001: "bytea[]"
        case 1005: "int2[]"
        case 1007: "int4[]"
        case 1009: "text[]"
        case 1015: "varchar[]"
        case 1016: "int8[]"
        case 1021: "float4[]"
        case 1022: "float8[]"
        case 1115: "timestamp[]"
        case 1185: "timestamptz[]"
        case 2951: "uuid[]"
        default: "type \(type)"
        }
    }
}
