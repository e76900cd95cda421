import Pipeline

/// Reads the members of one object of parameters, and knows which were read.
///
/// Every error names the parameter by its path, such as `limits.max_bytes`.
struct ParameterReader {
    let path: String
    private let members: [String: JSONValue]
    private var known: Set<String> = []

    init(_ value: JSONValue, path: String) throws(IngestError) {
        guard case .object(let members) = value else {
            throw Self.invalid(path, "must be an object, not \(value.typeName)")
        }
        self.members = members
        self.path = path
    }

    static func invalid(_ path: String, _ message: String) -> IngestError {
        IngestError(.invalidParameters, "Ingest parameter \"\(path)\" \(message).")
    }

    func place(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    func fault(_ key: String, _ message: String) -> IngestError { Self.invalid(place(key), message) }

    mutating func value(_ key: String) -> JSONValue? {
        known.insert(key)
        guard let value = members[key], !value.isNull else { return nil }
        return value
    }

    mutating func string(_ key: String) throws(IngestError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.stringValue else { throw fault(key, "must be a string, not \(value.typeName)") }
        return text
    }

    mutating func bool(_ key: String, default fallback: Bool) throws(IngestError) -> Bool {
        guard let value = value(key) else { return fallback }
        guard let flag = value.boolValue else { throw fault(key, "must be true or false, not \(value.typeName)") }
        return flag
    }

    mutating func integer(_ key: String, in range: ClosedRange<Int64>) throws(IngestError) -> Int64? {
        guard let value = value(key) else { return nil }
        guard let number = value.intValue else { throw fault(key, "must be a whole number, not \(value.typeName)") }
        guard range.contains(number) else {
            throw fault(key, "must be between \(range.lowerBound) and \(range.upperBound), not \(number)")
        }
        return number
    }

    mutating func number(_ key: String, in range: ClosedRange<Double>) throws(IngestError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.doubleValue else { throw fault(key, "must be a number, not \(value.typeName)") }
        guard range.contains(number) else {
            throw fault(key, "must be between \(range.lowerBound) and \(range.upperBound), not \(number)")
        }
        return number
    }

    mutating func strings(_ key: String) throws(IngestError) -> [String]? {
        guard let value = value(key) else { return nil }
        guard let elements = value.arrayValue else { throw fault(key, "must be a list of strings") }
        var texts: [String] = []
        for (index, element) in elements.enumerated() {
            guard let text = element.stringValue else { throw fault("\(key)[\(index)]", "must be a string") }
            texts.append(text)
        }
        return texts
    }

    mutating func array(_ key: String) throws(IngestError) -> [JSONValue]? {
        guard let value = value(key) else { return nil }
        guard let elements = value.arrayValue else { throw fault(key, "must be a list, not \(value.typeName)") }
        return elements
    }

    mutating func object(_ key: String) throws(IngestError) -> [String: JSONValue]? {
        guard let value = value(key) else { return nil }
        guard let members = value.objectValue else { throw fault(key, "must be an object, not \(value.typeName)") }
        return members
    }

    mutating func reader(_ key: String) throws(IngestError) -> ParameterReader? {
        guard let value = value(key) else { return nil }
        return try ParameterReader(value, path: place(key))
    }

    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, default fallback: Choice
    ) throws(IngestError) -> Choice where Choice.RawValue == String {
        guard let text = try string(key) else { return fallback }
        if let choice = Choice(rawValue: text) { return choice }
        let known = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        throw fault(key, "must be one of \(known), not \"\(text.prefix(64))\"")
    }

    /// Call last: refuses members that were never asked for.
    func finish() throws(IngestError) {
        let unknown = members.keys.filter { !known.contains($0) }.sorted()
        guard let first = unknown.first else { return }
        throw fault(first, "is unknown; known here: \(known.sorted().joined(separator: ", "))")
    }
}
