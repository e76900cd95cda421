/// Gathers the header lines that libcurl hands over, one at a time, into the head of the final answer.
struct HeadParser {
    private(set) var status = 0
    private(set) var fields: [HTTPHeader] = []
    private var bytes = 0
    private var isTrailer = false

    enum Step: Equatable {
        case more
        case complete
        case tooLarge
    }

    /// Limits count every line of the transfer: interim answers and trailers as well.
    mutating func consume(_ line: UnsafeRawBufferPointer, maximumBytes: Int, maximumCount: Int) -> Step {
        bytes += line.count
        guard bytes <= maximumBytes else { return .tooLarge }
        guard !isTrailer else { return .more }
        let text = Self.trimmed(line)
        if text.isEmpty {
            // 1xx announces another head; 101 is final, but nothing here asks for an upgrade.
            guard status >= 200 else { return .more }
            isTrailer = true
            return .complete
        }
        if text.starts(with: Array("HTTP/".utf8)) {
            fields = []
            let parts = text.split(separator: UInt8(ascii: " "), maxSplits: 2)
            status = parts.count > 1 ? Int(String(decoding: parts[1], as: UTF8.self)) ?? 0 : 0
            return .more
        }
        guard fields.count < maximumCount else { return .tooLarge }
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else {
            // An obsolete folded line continues the value before it (RFC 9112 §5.2).
            if let last = fields.indices.last { fields[last].value += " " + Self.string(text) }
            return .more
        }
        fields.append(
            HTTPHeader(Self.string(text[..<colon]), Self.string(text[text.index(after: colon)...])))
        return .more
    }

    private static func trimmed(_ line: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer> {
        var end = line.endIndex
        while end > line.startIndex, line[end - 1] == 0x0d || line[end - 1] == 0x0a { end -= 1 }
        return line[line.startIndex..<end]
    }

    private static func string(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        guard let start = bytes.firstIndex(where: { !isSpace($0) }), let end = bytes.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(decoding: bytes[start...end], as: UTF8.self)
    }
}
