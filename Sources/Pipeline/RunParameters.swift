/// The parameters of one run: the pipeline's defaults under what the event says.
package enum RunParameters {
    /// - Parameters:
    ///   - declared: the pipeline's parameters with their defaults, which fix the types. A default of null takes
    ///     any type; an integer may stand where the default is a number.
    ///   - overrides: from the event or the schedule.
    /// - Throws: ``PipelineError`` naming every override that is unknown or of another type.
    package static func resolve(
        declared: [String: JSONValue], overrides: [String: JSONValue]
    ) throws(PipelineError) -> [String: JSONValue] {
        let problems = overrides.keys.sorted().compactMap { name in
            problem(name: name, value: overrides[name, default: .null], declared: declared)
        }
        guard problems.isEmpty else {
            throw PipelineError(.invalidParameter, problems.joined(separator: "; ") + "; " + listing(declared))
        }
        return declared.merging(overrides) { standard, given in
            // Where a number is declared, the stage gets a number, however it was spelled.
            if case .double = standard, case .int(let whole) = given { return .double(Double(whole)) }
            return given
        }
    }

    /// What is wrong with one override; nil when nothing is.
    static func problem(name: String, value: JSONValue, declared: [String: JSONValue]) -> String? {
        guard let standard = declared[name] else {
            let near = Suggestion.nearest(to: name, in: declared.keys).map { " (did you mean \"\($0)\"?)" } ?? ""
            return "there is no parameter \"\(name)\"" + near
        }
        guard !accepts(value, where: standard) else { return nil }
        return "parameter \"\(name)\" must be \(article(standard)), as its default is, not \(article(value))"
    }

    /// All that `declared` offers, for the end of a message.
    static func listing(_ declared: [String: JSONValue]) -> String {
        guard !declared.isEmpty else { return "the pipeline declares no parameters" }
        let names = declared.keys.sorted().map { name in
            let standard = declared[name, default: .null]
            return standard.isNull ? "\(name) (any)" : "\(name) (\(standard.typeName))"
        }
        return "the pipeline declares " + names.joined(separator: ", ")
    }

    private static func accepts(_ value: JSONValue, where standard: JSONValue) -> Bool {
        switch (standard, value) {
        case (.null, _), (.bool, .bool), (.int, .int), (.double, .double), (.double, .int), (.string, .string),
            (.array, .array), (.object, .object):
            true
        case (.int, .double(let number)): Int64(exactly: number) != nil
        default: false
        }
    }

    private static func article(_ value: JSONValue) -> String {
        switch value {
        case .null: "null"
        case .array, .int, .object: "an " + value.typeName
        case .bool, .double, .string: "a " + value.typeName
        }
    }
}
