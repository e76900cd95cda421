import Pipeline

/// Turns the text of one source into records that satisfy the schema.
struct SourceReader {
    private enum Framer {
        case lines(LineFramer)
        case csv(CSVFramer, CSVReader)
    }

    private let uri: String
    private let allowsTruncation: Bool
    private var framer: Framer
    private let validator: SchemaValidator

    /// - Parameter startOffset: Where the text begins in the source: behind a byte order mark.
    init(
        uri: String, format: IngestParameters.Format, startOffset: Int64, parameters: IngestParameters
    ) throws(IngestError) {
        self.uri = uri
        allowsTruncation = parameters.errorBudget.allowsTruncation
        let limit = parameters.limits.maximumRecordBytes
        let kept = QuarantineWriter.keptBytes
        let isTable = format == .csv || format == .tsv
        validator = try SchemaValidator(parameters.schema, isTextual: isTable)
        if isTable {
            var options = parameters.csv
            if format == .tsv { options.delimiter = options.delimiter ?? UInt8(ascii: "\t") }
            let required = parameters.schema.fields.filter(\.isRequired).map(\.name)
            let needed = required + parameters.templates.neededFields.filter { !required.contains($0) }
            framer = .csv(
                CSVFramer(options: options, maximumBytes: limit, keptBytes: kept, startOffset: startOffset),
                try CSVReader(options: options, uri: uri, needed: needed))
        } else {
            framer = .lines(LineFramer(maximumBytes: limit, keptBytes: kept, startOffset: startOffset))
        }
    }

    /// - Parameter body: Gets each record, or why it is none, with its raw bytes.
    mutating func feed(
        _ bytes: [UInt8], _ body: (RawRecord, Result<Record, Violations>) throws -> Void
    ) throws {
        try bytes.withUnsafeBufferPointer { chunk in
            switch framer {
            case .lines(var lines):
                // Taken out while it works, so that its buffer is not copied.
                framer = .lines(LineFramer(maximumBytes: 0, keptBytes: 0, startOffset: 0))
                defer { framer = .lines(lines) }
                try lines.feed(chunk) { try judge($0, body) }
            case .csv(var csv, var reader):
                framer = .lines(LineFramer(maximumBytes: 0, keptBytes: 0, startOffset: 0))
                defer { framer = .csv(csv, reader) }
                try csv.feed(chunk) { try judge($0, reader.read($0, $1), body) }
            }
        }
    }

    mutating func finish(_ body: (RawRecord, Result<Record, Violations>) throws -> Void) throws {
        switch framer {
        case .lines(var lines): try lines.finish { try judge($0, body) }
        case .csv(var csv, var reader): try csv.finish { try judge($0, reader.read($0, $1), body) }
        }
    }

    private func judge(
        _ raw: RawRecord, _ body: (RawRecord, Result<Record, Violations>) throws -> Void
    ) throws {
        if let fault = raw.fault { return try body(raw, .failure(Violations([fault]))) }
        // Empty lines are no records.
        if raw.bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        do {
            let value = try JSONParser.parse(raw.bytes)
            guard case .object(let members) = value else {
                let message =
                    "the line holds \(value.typeName == "array" ? "an array" : "a \(value.typeName)"), not an object"
                return try judge(raw, .failure(Violations([RuleViolation(rule: "type", message: message)])), body)
            }
            try judge(raw, .success(Record(members: members)), body)
        } catch let fault as JSONFault {
            let place = raw.byteOffset + Int64(fault.offset)
            if fault.isAtEnd, !raw.isTerminated {
                let violation = RuleViolation(
                    rule: "truncated",
                    message: "the file ends inside this record, at byte \(place): \(fault.message)")
                guard allowsTruncation else {
                    let reason = reason(violation, raw)
                    throw IngestError(
                        .truncated,
                        "\(uri) is truncated: line \(raw.line) (from byte \(raw.byteOffset)) ends without a line break at "
                            + "byte \(place): \(fault.message). Send the whole file again, or set "
                            + "error_budget.allow_truncation to take what there is.",
                        reasons: [reason])
                }
                return try body(raw, .failure(Violations([violation])))
            }
            let violation = RuleViolation(
                rule: fault.rule,
                message: "\(fault.message), at byte \(place) of the source (column \(fault.offset + 1))")
            try body(raw, .failure(Violations([violation])))
        }
    }

    private func judge(
        _ raw: RawRecord, _ outcome: Result<Record, Violations>?,
        _ body: (RawRecord, Result<Record, Violations>) throws -> Void
    ) throws {
        guard let outcome else { return }
        guard case .success(let record) = outcome else { return try body(raw, outcome) }
        let violations = validator.violations(of: record)
        try body(raw, violations.isEmpty ? outcome : .failure(Violations(violations)))
    }

    private func reason(_ violation: RuleViolation, _ raw: RawRecord) -> RecordReason {
        Self.reason(violation, raw, uri)
    }

    static func reason(_ violation: RuleViolation, _ raw: RawRecord, _ uri: String) -> RecordReason {
        RecordReason(
            source: uri, line: raw.line, byteOffset: raw.byteOffset, field: violation.field, rule: violation.rule,
            message: violation.message)
    }
}
