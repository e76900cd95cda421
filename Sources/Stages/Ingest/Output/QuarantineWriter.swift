import Foundation
import Pipeline

/// Keeps bad records with their reasons, one JSON object per line, for the people who repair them.
struct QuarantineWriter {
    static let name = "quarantine.jsonl"
    /// How much of a bad record is kept.
    static let keptBytes = 4_096

    private let sink: any RecordSink
    private let maximumRecords: Int64
    private var buffer: [UInt8] = []
    private(set) var records: Int64 = 0

    init(sink: any RecordSink, maximumRecords: Int64) {
        self.sink = sink
        self.maximumRecords = maximumRecords
    }

    mutating func write(_ reasons: [RecordReason], raw: UnsafeBufferPointer<UInt8>) throws {
        guard let first = reasons.first, records < maximumRecords else { return }
        records += 1
        var kept = UnsafeBufferPointer(rebasing: raw.prefix(Self.keptBytes))
        let fault = UTF8Check.firstFault(in: kept)
        if let fault, fault.isAtEnd, raw.count > kept.count {
            kept = UnsafeBufferPointer(rebasing: kept[..<fault.offset])
        }
        var members: [String: JSONValue] = [
            "source": .string(first.source), "line": .int(Int64(first.line)), "byte_offset": .int(first.byteOffset),
            "reasons": .array(
                reasons.map {
                    .object([
                        "field": $0.field.map(JSONValue.string) ?? .null, "rule": .string($0.rule),
                        "message": .string($0.message),
                    ])
                }),
            "raw_truncated": .bool(raw.count > kept.count || first.rule == "record_too_large"),
        ]
        if let text = String(validating: kept, as: UTF8.self) {
            members["raw"] = .string(text)
        } else {
            members["raw_base64"] = .string(Data(kept).base64EncodedString())
        }
        buffer.append(contentsOf: JSONValue.object(members).canonicalJSON.utf8)
        buffer.append(0x0A)
        if buffer.count >= 64 << 10 { try flush() }
    }

    mutating func flush() throws {
        guard !buffer.isEmpty else { return }
        try sink.append(buffer, to: Self.name)
        buffer.removeAll(keepingCapacity: true)
    }

    mutating func finish() throws {
        try flush()
        if records > 0 { try sink.close(Self.name) }
    }
}
