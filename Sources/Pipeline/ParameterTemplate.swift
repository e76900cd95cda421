/// A string with references: `${name}` stands for a parameter, `$${` for the two characters `${`.
///
/// A string that is exactly one reference takes the value with its type; otherwise the value is spelled into the
/// text: strings as they are, everything else as JSON.
package struct ParameterTemplate: Hashable, Sendable {
    enum Part: Hashable, Sendable {
        case text(String)
        case reference(String)
    }

    let parts: [Part]

    /// The names that a template may always use, whatever the pipeline declares.
    package static let builtIns = ["run.id", "pipeline.name", "event.source", "event.id"]

    /// What the templates of one run are filled with: its parameters and the built-in names.
    package static func values(
        parameters: [String: JSONValue], run: RunID, pipeline: String, eventSource: String, eventID: String
    ) -> [String: JSONValue] {
        parameters.merging(
            [
                "run.id": .string(run.description), "pipeline.name": .string(pipeline),
                "event.source": .string(eventSource), "event.id": .string(eventID),
            ], uniquingKeysWith: { _, builtIn in builtIn })
    }

    /// - Throws: ``PipelineError`` when a `${` is not closed or holds no name.
    package init(_ text: String) throws(PipelineError) {
        var parts: [Part] = []
        var literal = ""
        var rest = Substring(text)
        while let dollar = rest.firstIndex(of: "$") {
            literal += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                literal += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                let inside = rest.dropFirst(2)
                guard let end = inside.firstIndex(of: "}") else {
                    throw PipelineError(
                        .invalidTemplate,
                        "\"\(rest.prefix(40))\" has no closing brace: write ${name}, or $${ for the text ${")
                }
                let name = String(inside[..<end])
                guard Self.isReference(name) else {
                    throw PipelineError(
                        .invalidTemplate,
                        "\"${\(name.prefix(40))}\" is not a reference: write ${name} with the name of a parameter, "
                            + "or $${ for the text ${")
                }
                if !literal.isEmpty { parts.append(.text(literal)) }
                literal = ""
                parts.append(.reference(name))
                rest = inside[inside.index(after: end)...]
            } else {
                literal += "$"
                rest = rest.dropFirst()
            }
        }
        literal += rest
        if !literal.isEmpty { parts.append(.text(literal)) }
        self.parts = parts
    }

    package var references: [String] {
        parts.compactMap { part in
            if case .reference(let name) = part { name } else { nil }
        }
    }

    /// - Throws: ``PipelineError`` for a name that `values` lacks.
    package func filled(with values: [String: JSONValue]) throws(PipelineError) -> JSONValue {
        var text = ""
        for part in parts {
            switch part {
            case .text(let literal): text += literal
            case .reference(let name):
                guard let value = values[name] else {
                    let advice = Suggestion.advice(for: name, in: values.keys, plural: "parameters")
                    throw PipelineError(.invalidTemplate, "${\(name)} refers to no parameter of this run: \(advice)")
                }
                if parts.count == 1 { return value }
                text += value.stringValue ?? value.canonicalJSON
            }
        }
        return .string(text)
    }

    /// Fills every string inside `value`, member names excepted.
    /// - Throws: ``PipelineError`` naming the member that could not be filled.
    package static func fill(_ value: JSONValue, with values: [String: JSONValue]) throws(PipelineError) -> JSONValue {
        try fill(value, with: values, at: [])
    }

    private static func fill(
        _ value: JSONValue, with values: [String: JSONValue], at path: [PathElement]
    ) throws(PipelineError) -> JSONValue {
        switch value {
        case .string(let text):
            guard text.utf8.contains(UInt8(ascii: "$")) else { return value }
            do {
                return try ParameterTemplate(text).filled(with: values)
            } catch {
                let place = path.isEmpty ? "" : "parameter \(path.spelled): "
                throw PipelineError(error.code, place + error.message)
            }
        case .array(let elements):
            var filled: [JSONValue] = []
            for (index, element) in elements.enumerated() {
                filled.append(try fill(element, with: values, at: path + [.index(index)]))
            }
            return .array(filled)
        case .object(let members):
            var filled: [String: JSONValue] = [:]
            for (key, member) in members {
                filled[key] = try fill(member, with: values, at: path + [.key(key)])
            }
            return .object(filled)
        case .null, .bool, .int, .double: return value
        }
    }

    /// Whether `name` is a parameter's name or dotted as a built-in's.
    private static func isReference(_ name: String) -> Bool {
        !name.isEmpty
            && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { NameRule.isParameter($0) }
    }
}
