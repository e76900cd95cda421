/// A value as the server sent it, in text form.
package struct PostgresCell: Sendable {
    let bytes: ArraySlice<UInt8>
    /// The type's OID in `pg_type`.
    package let type: UInt32

    package var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// A type that a column can be read as.
package protocol PostgresDecodable {
    /// What NULL reads as; nil makes NULL an error.
    static var postgresNull: Self? { get }
    /// nil when the value is not one of this type.
    init?(postgres cell: PostgresCell)
}

extension PostgresDecodable {
    package static var postgresNull: Self? { nil }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    package static var postgresNull: Self? { .some(.none) }

    package init?(postgres cell: PostgresCell) {
        guard let value = Wrapped(postgres: cell) else { return nil }
        self = .some(value)
    }
}

extension Bool: PostgresDecodable {
    package init?(postgres cell: PostgresCell) {
        // "t" in a text column is a word, not a truth.
        guard cell.type == 16 || cell.type == 0, cell.bytes.count == 1 else { return nil }
        self = cell.bytes.first == 0x74
    }
}

extension Int64: PostgresDecodable {
    package init?(postgres cell: PostgresCell) {
        guard !cell.bytes.isEmpty, cell.bytes.count <= 20 else { return nil }
        let negative = cell.bytes.first == 0x2D
        let digits = negative ? cell.bytes.dropFirst() : cell.bytes
        guard !digits.isEmpty else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard (0x30...0x39).contains(byte) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            // Built downwards, since Int64.min has no positive twin.
            let (sum, carry) = product.subtractingReportingOverflow(Int64(byte - 0x30))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        if negative {
            self = value
        } else {
            guard value != .min else { return nil }
            self = -value
        }
    }
}

extension Int: PostgresDecodable {
    package init?(postgres cell: PostgresCell) {
        guard let value = Int64(postgres: cell) else { return nil }
        self.init(exactly: value)
    }
}

extension Int32: PostgresDecodable {
    package init?(postgres cell: PostgresCell) {
        guard let value = Int64(postgres: cell) else { return nil }
        self.init(exactly: value)
    }
}

extension Double: PostgresDecodable {
    package init?(postgres cell: PostgresCell) {
        switch cell.text {
        case "NaN": self = .nan
        case "Infinity": self = .infinity
        case "-Infinity": self = -.infinity
        case let text:
            guard let value = Double(text) else { return nil }
            self = value
        }
    }
}

extension String: PostgresDecodable {
    package init?(postgres cell: PostgresCell) {
        self = cell.text
    }
}

extension PostgresTimestamp: PostgresDecodable {
    package init?(postgres cell: PostgresCell) {
        self.init(cell.text)
    }
}
