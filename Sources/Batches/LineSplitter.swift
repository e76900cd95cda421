import Glibc

/// Cuts bytes into lines as they come.
struct LineSplitter {
    struct Line {
        /// From 1 on; blank lines count too.
        let number: Int
        /// Where it begins.
        let offset: Int64
        /// Without its end.
        let bytes: [UInt8]

        /// Whether there is nothing in it.
        var isBlank: Bool { bytes.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D } }
    }

    private var rest: [UInt8] = []
    private var number: Int
    private var offset: Int64

    init(firstLine: Int = 1, offset: Int64 = 0) {
        number = firstLine
        self.offset = offset
    }

    /// Bytes of the line that is not over.
    var pending: Int { rest.count }

    mutating func feed(_ piece: [UInt8], _ take: (Line) -> Void) {
        var start = 0
        piece.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            while let found = memchr(base + start, 0x0A, bytes.count - start) {
                let end = UnsafeRawPointer(found) - base
                let line = rest + piece[start..<end]
                rest = []
                take(Line(number: number, offset: offset, bytes: line))
                number += 1
                offset += Int64(line.count) + 1
                start = end + 1
            }
        }
        rest += piece[start...]
    }

    /// What follows the last line's end.
    mutating func finish() -> Line? {
        guard !rest.isEmpty else { return nil }
        defer { rest = [] }
        return Line(number: number, offset: offset, bytes: rest)
    }
}
