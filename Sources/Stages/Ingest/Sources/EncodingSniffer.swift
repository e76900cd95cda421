/// Looks at the first bytes of a source: takes a UTF-8 byte order mark away, refuses what is not UTF-8 text.
struct EncodingSniffer {
    private var head: [UInt8] = []
    private var isDone = false
    /// How many bytes were taken away.
    private(set) var skipped: Int64 = 0
    private let uri: String

    init(uri: String) {
        self.uri = uri
    }

    /// What of `chunk` and of the bytes held back so far is text. Nothing until four bytes are there.
    mutating func feed(_ chunk: [UInt8]) throws(IngestError) -> [UInt8] {
        if isDone { return chunk }
        head += chunk
        return head.count < 4 ? [] : try finish()
    }

    /// The source has ended, or its first four bytes are here.
    mutating func finish() throws(IngestError) -> [UInt8] {
        if isDone { return [] }
        isDone = true
        try refuseForeign()
        if head.starts(with: [0xEF, 0xBB, 0xBF]) {
            skipped = 3
            head.removeFirst(3)
        }
        defer { head = [] }
        return head
    }

    private func refuseForeign() throws(IngestError) {
        let kinds: [([UInt8], String)] = [
            ([0xFF, 0xFE, 0x00, 0x00], "UTF-32 (little-endian byte order mark)"),
            ([0x00, 0x00, 0xFE, 0xFF], "UTF-32 (big-endian byte order mark)"),
            ([0xFF, 0xFE], "UTF-16 (little-endian byte order mark)"),
            ([0xFE, 0xFF], "UTF-16 (big-endian byte order mark)"),
            ([0x1F, 0x8B], "gzip-compressed"),
            ([0x28, 0xB5, 0x2F, 0xFD], "Zstandard-compressed"),
            ([0x50, 0x4B, 0x03, 0x04], "a ZIP archive"),
            ([0x50, 0x41, 0x52, 0x31], "Parquet (set \"format\" to parquet)"),
        ]
        var kind = kinds.first { head.starts(with: $0.0) }?.1
        if kind == nil, head.count >= 4 {
            if head[1] == 0, head[3] == 0, head[0] != 0 { kind = "UTF-16 (little-endian, no byte order mark)" }
            if head[0] == 0, head[2] == 0, head[1] != 0 { kind = "UTF-16 (big-endian, no byte order mark)" }
        }
        guard let kind else { return }
        throw IngestError(
            .wrongEncoding,
            "\(uri) line 1, byte 0: the content is \(kind), not UTF-8 text; convert it to plain UTF-8 first.")
    }
}
