import Pipeline

/// Turns the fields that the framer finds into records, after the header has named them.
struct CSVReader {
    private let options: CSVOptions
    private let uri: String
    /// The columns that the schema and the templates read.
    private let needed: [String]
    private(set) var columns: [String]

    init(options: CSVOptions, uri: String, needed: [String]) throws(IngestError) {
        self.options = options
        self.uri = uri
        self.needed = needed
        columns = options.columns
        if !options.hasHeader { try checkColumns(line: 1) }
    }

    static func firstRepeated(_ names: [String]) -> String? {
        var seen: Set<String> = []
        return names.first { !seen.insert($0).inserted }
    }

    /// The record, or why it is none; nil for the header.
    mutating func read(
        _ raw: RawRecord, _ fields: [CSVFramer.Field]
    ) throws(IngestError) -> Result<Record, Violations>? {
        let isHeader = options.hasHeader && columns.isEmpty
        if let fault = raw.fault {
            if isHeader { throw headerFault(raw.line, "cannot be read: \(fault.message)") }
            return .failure(Violations([fault]))
        }
        var values: [String] = []
        values.reserveCapacity(fields.count)
        for (index, field) in fields.enumerated() {
            switch text(of: field, in: raw.bytes) {
            case .success(let text): values.append(text)
            case .failure(let fault):
                let place = raw.byteOffset + Int64(field.range.lowerBound + fault.offset)
                let message = "not UTF-8 at byte \(place) of the source; convert the file to UTF-8"
                if isHeader { throw IngestError(.wrongEncoding, "\(uri) line \(raw.line): \(message).") }
                let name = columns.indices.contains(index) ? columns[index] : nil
                return .failure(Violations([RuleViolation(field: name, rule: "encoding", message: message)]))
            }
        }
        if isHeader {
            columns = values
            if options.allowsTrailingDelimiter, columns.last?.isEmpty == true { columns.removeLast() }
            try checkColumns(line: raw.line)
            return nil
        }
        if options.allowsTrailingDelimiter, values.count == columns.count + 1, values.last?.isEmpty == true {
            values.removeLast()
        }
        guard values.count == columns.count else {
            let hint =
                values.count == columns.count + 1 && values.last?.isEmpty == true
                ? "; if every row ends with a delimiter, set csv.trailing_delimiter" : ""
            let message = "has \(values.count) columns; the header has \(columns.count)\(hint)"
            return .failure(Violations([RuleViolation(rule: "column_count", message: message)]))
        }
        return .success(
            Record(members: zip(columns, values).map { RecordValue.Member(key: $0, value: .string($1)) }))
    }

    private func text(
        of field: CSVFramer.Field, in bytes: UnsafeBufferPointer<UInt8>
    ) -> Result<String, UTF8Check.Fault> {
        let content = UnsafeBufferPointer(rebasing: bytes[field.range])
        guard let text = String(validating: content, as: UTF8.self) else {
            return .failure(UTF8Check.firstFault(in: content) ?? UTF8Check.Fault(offset: 0, isAtEnd: false))
        }
        guard field.hasEscapes else { return .success(text) }
        var plain: [UInt8] = []
        plain.reserveCapacity(content.count)
        var index = 0
        while index < content.count {
            plain.append(content[index])
            index += content[index] == options.quote ? 2 : 1
        }
        return .success(String(decoding: plain, as: UTF8.self))
    }

    private func checkColumns(line: Int) throws(IngestError) {
        if let index = columns.firstIndex(where: \.isEmpty) {
            throw headerFault(line, "has no name for column \(index + 1)")
        }
        if let twice = Self.firstRepeated(columns) {
            throw headerFault(line, "names the column \"\(twice)\" twice; rename one")
        }
        let missing = needed.filter { !columns.contains($0) }
        guard missing.isEmpty else {
            let names = missing.map { "\"\($0)\"" }.joined(separator: ", ")
            let present = columns.map { "\"\($0)\"" }.joined(separator: ", ")
            throw IngestError(
                .missingColumn,
                "\(uri) line \(line): the column\(missing.count == 1 ? "" : "s") \(names) "
                    + "\(missing.count == 1 ? "is" : "are") missing; present: \(present). "
                    + "Add what is missing, or change the schema or the templates that ask for it.")
        }
    }

    private func headerFault(_ line: Int, _ message: String) -> IngestError {
        IngestError(.badHeader, "\(uri) line \(line): the header \(message).")
    }
}

/// The broken rules of one record.
struct Violations: Error {
    var list: [RuleViolation]
    init(_ list: [RuleViolation]) { self.list = list }
}
