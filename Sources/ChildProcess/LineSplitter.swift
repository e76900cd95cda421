/// Cuts a byte stream into lines of bounded length. Pure; a line past the limit is cut, its rest skipped.
struct LineSplitter {
    /// The longest line kept, in bytes.
    let limit: Int
    private var partial: [UInt8] = []
    private var isSkipping = false

    init(limit: Int) {
        precondition(limit > 0, "a line's limit is at least one byte")
        self.limit = limit
    }

    /// Adds bytes and returns the lines they complete. A carriage return before the line end is dropped.
    mutating func append(_ bytes: some Collection<UInt8>) -> [OutputLine] {
        var lines: [OutputLine] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            keep(rest[..<end])
            lines.append(takeLine())
            rest = rest[rest.index(after: end)...]
        }
        keep(rest)
        return lines
    }

    /// The last line when the stream ended without a line end; nil when nothing is left.
    mutating func finish() -> OutputLine? {
        partial.isEmpty ? nil : takeLine()
    }

    private mutating func keep(_ bytes: some Collection<UInt8>) {
        guard !bytes.isEmpty, !isSkipping else { return }
        let room = limit - partial.count
        partial.append(contentsOf: bytes.prefix(room))
        isSkipping = bytes.count > room
    }

    private mutating func takeLine() -> OutputLine {
        if !isSkipping, partial.last == UInt8(ascii: "\r") {
            partial.removeLast()
        }
        let line = OutputLine(text: String(decoding: partial, as: UTF8.self), isTruncated: isSkipping)
        partial.removeAll(keepingCapacity: partial.capacity <= 65_536)
        isSkipping = false
        return line
    }
}
