import Logging

/// A log record as one JSON object on one line (RFC 8259).
enum JSONLine {
    private static let reserved: Set<String> = ["time", "level", "label", "message"]

    static func encode(_ record: LogRecord) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(256)
        line.append(
            contentsOf: "{\"time\":\"\(record.clock.rfc3339)\",\"level\":\"\(record.level.rawValue)\",\"label\":".utf8)
        appendString(record.label, to: &line)
        line.append(contentsOf: ",\"message\":".utf8)
        appendString(record.message, to: &line)
        for (key, value) in record.fields {
            line.append(UInt8(ascii: ","))
            // A key that is taken would make a duplicate member, which parsers treat differently.
            appendString(reserved.contains(key) ? "metadata.\(key)" : key, to: &line)
            line.append(UInt8(ascii: ":"))
            appendString(value, to: &line)
        }
        line.append(contentsOf: "}\n".utf8)
        return line
    }

    static func appendString(_ text: String, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): line.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case UInt8(ascii: "\\"): line.append(contentsOf: [byte, byte])
            case 0x0a: line.append(contentsOf: "\\n".utf8)
            case 0x0d: line.append(contentsOf: "\\r".utf8)
            case 0x09: line.append(contentsOf: "\\t".utf8)
            case 0x00..<0x20, 0x7f:
                line.append(contentsOf: "\\u00".utf8)
                line.append(contentsOf: [hexDigit(byte >> 4), hexDigit(byte & 15)])
            default: line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }
}

/// The lower-case hexadecimal digit of a value below 16.
func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}
