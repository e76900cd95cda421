import Foundation

/// Cuts a stream into lines. A line longer than the limit is skipped without being kept.
struct LineFramer {
    private let maximumBytes: Int
    /// The carriage return of a line break does not count.
    private var maximumHeld: Int { maximumBytes + 1 }
    /// How much of an overlong line is kept for the quarantine.
    private let keptBytes: Int
    private var pending: [UInt8] = []
    private var line = 1
    /// Where the current line begins.
    private var lineOffset: Int64
    /// The length of the current overlong line so far; zero while the line is of a fit size.
    private var skipped = 0

    init(maximumBytes: Int, keptBytes: Int, startOffset: Int64) {
        self.maximumBytes = maximumBytes
        self.keptBytes = keptBytes
        lineOffset = startOffset
    }

    mutating func feed(_ chunk: UnsafeBufferPointer<UInt8>, _ body: (RawRecord) throws -> Void) throws {
        guard let base = chunk.baseAddress else { return }
        var start = 0
        while start < chunk.count {
            guard let found = memchr(base + start, 0x0A, chunk.count - start) else {
                keep(UnsafeBufferPointer(rebasing: chunk[start...]))
                return
            }
            let end = UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) - base
            let part = UnsafeBufferPointer(rebasing: chunk[start..<end])
            if skipped == 0, pending.isEmpty, part.count <= maximumHeld {
                try emit(part, length: part.count, isTerminated: true, body)
            } else {
                keep(part)
                try emitPending(isTerminated: true, body)
            }
            start = end + 1
        }
    }

    /// The stream has ended; a last line without a line break is a line too.
    mutating func finish(_ body: (RawRecord) throws -> Void) throws {
        if skipped > 0 || !pending.isEmpty { try emitPending(isTerminated: false, body) }
    }

    private mutating func keep(_ part: UnsafeBufferPointer<UInt8>) {
        if skipped > 0 {
            skipped += part.count
            pending.append(contentsOf: part.prefix(max(0, keptBytes - pending.count)))
        } else if pending.count + part.count > maximumHeld {
            skipped = pending.count + part.count
            // Filled up so that the kept prefix does not depend on the sizes of the chunks.
            pending.append(contentsOf: part.prefix(max(0, keptBytes - pending.count)))
            pending.removeLast(max(0, pending.count - keptBytes))
        } else {
            pending.append(contentsOf: part)
        }
    }

    private mutating func emitPending(isTerminated: Bool, _ body: (RawRecord) throws -> Void) throws {
        let bytes = pending
        let length = skipped > 0 ? skipped : bytes.count
        pending.removeAll(keepingCapacity: true)
        try bytes.withUnsafeBufferPointer { buffer in
            try emit(buffer, length: length, isTerminated: isTerminated, body)
        }
    }

    private mutating func emit(
        _ bytes: UnsafeBufferPointer<UInt8>, length: Int, isTerminated: Bool, _ body: (RawRecord) throws -> Void
    ) throws {
        var record = RawRecord(bytes: bytes, line: line, byteOffset: lineOffset, isTerminated: isTerminated)
        let content = bytes.last == 0x0D ? UnsafeBufferPointer(rebasing: bytes.dropLast()) : bytes
        if skipped > 0 || content.count > maximumBytes {
            record.bytes = UnsafeBufferPointer(rebasing: bytes.prefix(keptBytes))
            record.fault = RuleViolation(
                rule: "record_too_large",
                message: "\(length) bytes; at most \(maximumBytes) are allowed (limits.max_record_bytes)")
        } else {
            record.bytes = content
        }
        line += 1
        lineOffset += Int64(length) + 1
        skipped = 0
        try body(record)
    }
}
