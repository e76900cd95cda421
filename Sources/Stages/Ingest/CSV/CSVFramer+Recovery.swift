/// The ends that are not a well-formed line: broken quotes, overlong records, the end of the stream.
extension CSVFramer {
    /// Gives the record up at its first line break; the line after it is read as a new record.
    mutating func giveUp(
        _ rule: String, _ message: String, _ buffer: UnsafeBufferPointer<UInt8>,
        _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        let field = fields.count + 1
        let columnByte = scan - recordStart
        fault = RuleViolation(
            rule: rule, message: "\(message) (column \(field), byte \(columnByte) of the record)")
        guard let lineBreak = firstLineBreak else {
            state = .skipping
            scan = recordStart
            return
        }
        scan = lineBreak
        try emit(UnsafeBufferPointer(rebasing: buffer[recordStart..<lineBreak]), isTerminated: true, body)
        begin(at: lineBreak + 1, line: line + 1)
    }

    /// The record has reached the limit without ending.
    mutating func overflow(
        _ buffer: UnsafeBufferPointer<UInt8>, _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        guard firstLineBreak != nil else {
            fault = RuleViolation(rule: "record_too_large", message: "")
            state = .skipping
            scan = recordStart
            return
        }
        try giveUp(
            "unterminated_quote",
            "a quoted field is not closed within \(maximumBytes) bytes (limits.max_record_bytes); only this line is given up",
            buffer, body)
    }

    /// Passes over the bytes of a line that is given up, keeping no more than its beginning.
    mutating func skipLine(
        _ buffer: UnsafeBufferPointer<UInt8>, _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        var end = scan
        while end < buffer.count, buffer[end] != 0x0A { end += 1 }
        kept.append(contentsOf: buffer[scan..<end].prefix(max(0, keptBytes - kept.count)))
        skipped += end - scan
        scan = end
        recordStart = end
        guard end < buffer.count else { return }
        try emitSkipped(isTerminated: true, body)
        begin(at: end + 1, line: line + 1)
    }

    /// The stream has ended. Returns true when bytes after a broken record are still to be read.
    mutating func end(
        _ buffer: UnsafeBufferPointer<UInt8>, _ body: (RawRecord, [Field]) throws -> Void
    ) throws -> Bool {
        let length = scan - recordStart
        switch state {
        case .fieldStart where length == 0 && fields.isEmpty: return false
        case .skipping:
            try emitSkipped(isTerminated: false, body)
            begin(at: scan, line: line)
            return false
        case .quoted:
            try giveUp("unterminated_quote", "the file ends inside a quoted field", buffer, body)
            if state == .skipping {
                try skipLine(buffer, body)
                return true
            }
            return true
        case .fieldStart:
            fields.append(Field(range: length..<length, hasEscapes: false))
        case .unquoted:
            let hasReturn = length > fieldStart && buffer[scan - 1] == 0x0D
            fields.append(Field(range: fieldStart..<(hasReturn ? length - 1 : length), hasEscapes: hasEscapes))
        case .quoteInQuoted:
            fields.append(Field(range: fieldStart..<(length - 1), hasEscapes: hasEscapes))
        case .returnAfterQuote:
            fields.append(Field(range: fieldStart..<(length - 2), hasEscapes: hasEscapes))
        }
        try emit(UnsafeBufferPointer(rebasing: buffer[recordStart..<scan]), isTerminated: false, body)
        begin(at: scan, line: line + lineBreaks + 1)
        return false
    }

    private mutating func emitSkipped(
        isTerminated: Bool, _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        if fault?.rule == "record_too_large" || skipped > maximumBytes {
            fault = RuleViolation(
                rule: "record_too_large",
                message: "\(skipped) bytes; at most \(maximumBytes) are allowed (limits.max_record_bytes)")
        }
        let bytes = kept
        try bytes.withUnsafeBufferPointer { try emit($0, isTerminated: isTerminated, body) }
        recordOffset += Int64(skipped - bytes.count)
    }

    /// Hands one record over. Lines that are empty are no records.
    mutating func emit(
        _ bytes: UnsafeBufferPointer<UInt8>, isTerminated: Bool, _ body: (RawRecord, [Field]) throws -> Void
    ) throws {
        let record = RawRecord(
            bytes: bytes, line: line, byteOffset: recordOffset, isTerminated: isTerminated, fault: fault)
        recordOffset += Int64(bytes.count) + 1
        if fault == nil, fields.count == 1, bytes.isEmpty || (bytes.count == 1 && bytes[0] == 0x0D) { return }
        try body(record, fault == nil ? fields : [])
    }

    mutating func begin(at start: Int, line: Int) {
        state = .fieldStart
        scan = start
        recordStart = start
        self.line = line
        lineBreaks = 0
        firstLineBreak = nil
        fields.removeAll(keepingCapacity: true)
        fault = nil
        kept.removeAll(keepingCapacity: true)
        skipped = 0
    }

    /// Forgets the records that are done with.
    mutating func compact() {
        guard recordStart > 0 else { return }
        buffer.removeSubrange(..<recordStart)
        scan -= recordStart
        firstLineBreak = firstLineBreak.map { $0 - recordStart }
        recordStart = 0
    }
}
