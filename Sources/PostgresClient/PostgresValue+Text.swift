extension PostgresValue {
    var mayHoldNUL: Bool {
        switch self {
        case .text, .json, .uuid, .textArray, .jsonArray: true
        default: false
        }
    }

    /// The value in PostgreSQL's input syntax. Not for `.null` and `.bytes`, which need none.
    func appendText(to output: inout [UInt8]) {
        switch self {
        case .null: break
        case .bool(let value): output.append(value ? 0x74 : 0x66)
        case .int(let value): output.append(contentsOf: String(value).utf8)
        case .double(let value): output.append(contentsOf: Self.text(of: value).utf8)
        case .text(let value), .json(let value), .uuid(let value): output.append(contentsOf: value.utf8)
        case .bytes(let value): Self.appendHex(value, to: &output)
        case .timestamp(let value): output.append(contentsOf: value.description.utf8)
        case .textArray(let values), .jsonArray(let values):
            Self.appendArray(values, to: &output) { Self.appendQuoted($0, to: &$1) }
        case .intArray(let values):
            Self.appendArray(values, to: &output) { $1.append(contentsOf: String($0).utf8) }
        case .doubleArray(let values):
            Self.appendArray(values, to: &output) { $1.append(contentsOf: Self.text(of: $0).utf8) }
        case .boolArray(let values):
            Self.appendArray(values, to: &output) { $1.append($0 ? 0x74 : 0x66) }
        case .bytesArray(let values):
            Self.appendArray(values, to: &output) { value, output in
                // In an array literal the backslash of \x is itself escaped.
                output.append(contentsOf: [0x22, 0x5C])
                Self.appendHex(value, to: &output)
                output.append(0x22)
            }
        case .timestampArray(let values):
            Self.appendArray(values, to: &output) { value, output in
                output.append(0x22)
                output.append(contentsOf: value.description.utf8)
                output.append(0x22)
            }
        }
    }

    private static func appendArray<Element>(
        _ values: [Element?], to output: inout [UInt8], _ append: (Element, inout [UInt8]) -> Void
    ) {
        output.append(0x7B)
        for (index, value) in values.enumerated() {
            if index > 0 { output.append(0x2C) }
            if let value {
                append(value, &output)
            } else {
                output.append(contentsOf: "NULL".utf8)
            }
        }
        output.append(0x7D)
    }

    /// Always quoted, so that `NULL`, commas, braces and spaces are plain text.
    private static func appendQuoted(_ text: String, to output: inout [UInt8]) {
        output.append(0x22)
        var text = text
        text.withUTF8 { bytes in
            if bytes.contains(where: { $0 == 0x22 || $0 == 0x5C }) {
                for byte in bytes {
                    if byte == 0x22 || byte == 0x5C { output.append(0x5C) }
                    output.append(byte)
                }
            } else {
                output.append(contentsOf: bytes)
            }
        }
        output.append(0x22)
    }

    private static func appendHex(_ bytes: [UInt8], to output: inout [UInt8]) {
        let digits: StaticString = "0123456789abcdef"
        output.append(contentsOf: [0x5C, 0x78])
        output.reserveCapacity(output.count + bytes.count * 2)
        for byte in bytes {
            output.append(digits.utf8Start[Int(byte >> 4)])
            output.append(digits.utf8Start[Int(byte & 15)])
        }
    }

    private static func text(of value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "Infinity" : "-Infinity" }
        return value.description
    }
}
