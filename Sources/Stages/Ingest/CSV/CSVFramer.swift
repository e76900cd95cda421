/// Cuts a stream into CSV records (RFC 4180) and the records into fields, on bytes.
///
/// A record with broken quotes is given up at the first line break after its beginning, and the next
/// line is read as a new record: one stray quote costs one line, never the rest of the file. What must be kept
/// for that is bounded by the record limit.
struct CSVFramer {
    /// Where one field lies in its record.
    struct Field {
        /// Without the quotes around it.
        var range: Range<Int>
        /// Holds doubled quotes.
        var hasEscapes: Bool
    }

    enum State {
        case fieldStart, unquoted, quoted
        /// After a quote inside a quoted field: it closed the field or is the first of a doubled one.
        case quoteInQuoted
        /// After a closing quote and a carriage return: only a line feed may follow.
        case returnAfterQuote
        /// In the rest of a line that is given up.
        case skipping
    }

    let options: CSVOptions
    private let delimiter: UInt8
    let maximumBytes: Int
    let keptBytes: Int

    /// The unfinished record and everything after it.
    var buffer: [UInt8] = []
    var state = State.fieldStart
    /// The next byte of `buffer` to look at.
    var scan = 0
    var recordStart = 0
    var recordOffset: Int64
    var line = 1
    /// Line breaks inside quotes since the record began.
    var lineBreaks = 0
    /// The first of them, in `buffer`.
    var firstLineBreak: Int?
    var fields: [Field] = []
    /// Relative to `recordStart`, like the ranges of `fields`.
    var fieldStart = 0
    var hasEscapes = false
    var fault: RuleViolation?
    /// What is kept of a line that is given up, and its length so far.
    var kept: [UInt8] = []
    var skipped = 0

    init(options: CSVOptions, maximumBytes: Int, keptBytes: Int, startOffset: Int64) {
        self.options = options
        delimiter = options.delimiter ?? UInt8(ascii: ",")
        self.maximumBytes = maximumBytes
        self.keptBytes = keptBytes
        recordOffset = startOffset
    }

    mutating func feed(
        _ chunk: UnsafeBufferPointer<UInt8>, _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        buffer.append(contentsOf: chunk)
        try advance(isLast: false, body)
        compact()
    }

    /// The stream has ended; a last record without a line break is a record too.
    mutating func finish(_ body: (RawRecord, [Field]) throws -> Void) throws {
        try advance(isLast: true, body)
        buffer = []
    }

    private mutating func advance(isLast: Bool, _ body: (RawRecord, [Field]) throws -> Void) throws {
        // The array is moved out so that its bytes can be read while `self` changes.
        var bytes: [UInt8] = []
        swap(&bytes, &buffer)
        defer { swap(&bytes, &buffer) }
        try bytes.withUnsafeBufferPointer { buffer in
            repeat {
                while scan < buffer.count { try step(buffer, body) }
            } while try isLast && end(buffer, body)
        }
    }

    private mutating func step(
        _ buffer: UnsafeBufferPointer<UInt8>, _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        if state == .skipping { return try skipLine(buffer, body) }
        let limit = min(buffer.count, recordStart + maximumBytes)
        if state == .quoted {
            while scan < limit, buffer[scan] != options.quote {
                if buffer[scan] == 0x0A { noteLineBreak() }
                scan += 1
            }
        } else if state == .unquoted {
            while scan < limit, buffer[scan] != delimiter, buffer[scan] != 0x0A, buffer[scan] != options.quote {
                scan += 1
            }
        }
        guard scan < buffer.count else { return }
        // A line break is no part of the record: one that fits exactly still ends it.
        if scan - recordStart >= maximumBytes, state == .quoted || buffer[scan] != 0x0A {
            return try overflow(buffer, body)
        }
        try take(buffer[scan], buffer, body)
    }

    private mutating func noteLineBreak() {
        lineBreaks += 1
        if firstLineBreak == nil { firstLineBreak = scan }
    }

    private mutating func take(
        _ byte: UInt8, _ buffer: UnsafeBufferPointer<UInt8>, _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        switch state {
        case .fieldStart:
            fieldStart = scan - recordStart
            hasEscapes = false
            state = byte == options.quote ? .quoted : .unquoted
            if byte == options.quote {
                fieldStart += 1
                scan += 1
            }
        case .unquoted where byte == options.quote:
            try giveUp(
                "quote_after_text",
                "a quote inside a field that does not begin with one; quote the field and double it",
                buffer, body)
        case .unquoted:
            try endField(byte, at: scan - recordStart, buffer, body)
        case .quoted:
            state = .quoteInQuoted
            scan += 1
        case .quoteInQuoted where byte == options.quote:
            hasEscapes = true
            state = .quoted
            scan += 1
        case .quoteInQuoted where byte == delimiter || byte == 0x0A:
            try endField(byte, at: scan - recordStart - 1, buffer, body)
        case .quoteInQuoted where byte == 0x0D:
            state = .returnAfterQuote
            scan += 1
        case .returnAfterQuote where byte == 0x0A:
            try endField(byte, at: scan - recordStart - 2, buffer, body)
        case .quoteInQuoted, .returnAfterQuote:
            try giveUp(
                "text_after_quote", "text after the closing quote of a field; a quote inside a field must be doubled",
                buffer, body)
        case .skipping: break
        }
    }

    private mutating func endField(
        _ byte: UInt8, at end: Int, _ buffer: UnsafeBufferPointer<UInt8>,
        _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        guard byte == 0x0A else {
            fields.append(Field(range: fieldStart..<end, hasEscapes: hasEscapes))
            state = .fieldStart
            scan += 1
            return
        }
        var end = end
        if state == .unquoted, end > fieldStart, buffer[recordStart + end - 1] == 0x0D { end -= 1 }
        fields.append(Field(range: fieldStart..<end, hasEscapes: hasEscapes))
        try emit(UnsafeBufferPointer(rebasing: buffer[recordStart..<scan]), isTerminated: true, body)
        begin(at: scan + 1, line: line + lineBreaks + 1)
    }
}
