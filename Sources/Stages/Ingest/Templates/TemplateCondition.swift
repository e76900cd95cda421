import Pipeline

/// One condition of `when`: a field name alone means that the field holds something.
struct TemplateCondition: Hashable, Sendable {
    enum Test: Hashable, Sendable {
        case holdsSomething, isEmpty
        case oneOf([String])
        case noneOf([String])
    }

    var reference: TemplateReference
    var test: Test

    init(_ value: JSONValue, path: String) throws(IngestError) {
        if let name = value.stringValue {
            reference = TemplateReference(name)
            test = .holdsSomething
            return
        }
        var reader = try ParameterReader(value, path: path)
        guard let name = try reader.string("field") else { throw reader.fault("field", "is required") }
        reference = TemplateReference(name)
        let empty = try reader.bool("empty", default: false)
        let oneOf = try reader.strings("one_of")
        let noneOf = try reader.strings("none_of")
        try reader.finish()
        guard (empty ? 1 : 0) + (oneOf == nil ? 0 : 1) + (noneOf == nil ? 0 : 1) <= 1 else {
            throw ParameterReader.invalid(path, "has more than one of \"empty\", \"one_of\", \"none_of\"")
        }
        if let oneOf {
            test = .oneOf(oneOf)
        } else if let noneOf {
            test = .noneOf(noneOf)
        } else {
            test = empty ? .isEmpty : .holdsSomething
        }
    }

    func holds(_ scope: TemplateScope) -> Bool {
        let values = scope.values(of: reference).filter { !$0.isEmpty }
        switch test {
        case .holdsSomething: return !values.isEmpty
        case .isEmpty: return values.isEmpty
        case .oneOf(let texts): return values.contains { texts.contains($0) }
        case .noneOf(let texts): return !values.contains { texts.contains($0) }
        }
    }
}
