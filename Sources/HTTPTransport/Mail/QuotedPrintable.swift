/// Quoted-printable (RFC 2045 §6.7): readable as it is, and every line stays below 77 bytes.
enum QuotedPrintable {
    /// Encoded lines without their ends; any of CRLF, LF and CR ends a line of the input.
    static func lines(_ text: String) -> [String] {
        var lines: [String] = []
        var line: [UInt8] = []
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            guard byte != 0x0d && byte != 0x0a else {
                if byte == 0x0d, index < bytes.count, bytes[index] == 0x0a { index += 1 }
                lines.append(String(decoding: line, as: UTF8.self))
                line = []
                continue
            }
            let endsLine = index == bytes.count || bytes[index] == 0x0d || bytes[index] == 0x0a
            let piece = encoded(byte, endsLine: endsLine)
            // A soft break needs a column for its "=".
            if line.count + piece.count > (endsLine ? 76 : 75) {
                lines.append(String(decoding: line + [UInt8(ascii: "=")], as: UTF8.self))
                line = []
            }
            line += piece
        }
        if !line.isEmpty { lines.append(String(decoding: line, as: UTF8.self)) }
        return lines
    }

    private static func encoded(_ byte: UInt8, endsLine: Bool) -> [UInt8] {
        let isSpace = byte == 0x20 || byte == 0x09
        if isSpace && !endsLine { return [byte] }
        if (0x21...0x7e).contains(byte) && byte != UInt8(ascii: "=") { return [byte] }
        let digits = Array("0123456789ABCDEF".utf8)
        return [UInt8(ascii: "="), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
}
