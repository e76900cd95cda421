/// A text with placeholders: `CWE-{CWE-ID}[[: {Name|trim}]]`.
///
/// `{field}` is the value of a field, `{a.b}` leads into objects, `{item}` and `{item.PART}` are the current
/// item of `each` and its named parts, `{item.index}` its number from 1, `{list.NAME}` a joined list. `|filter` changes
/// a value. `[[ … ]]` is left out when a placeholder in it is empty; an empty placeholder elsewhere means that the
/// template does not apply. `{{`, `}}` stand for braces.
struct TemplateText: Hashable, Sendable {
    indirect enum Part: Hashable, Sendable {
        case literal(String)
        case placeholder(Placeholder)
        case optional([Part])
    }

    struct Placeholder: Hashable, Sendable {
        var reference: TemplateReference
        var filters: [TextFilter]
    }

    let parts: [Part]

    init(_ source: String) throws(TemplateFault) {
        var rest = source[...]
        parts = try Self.parse(&rest, isOptional: false)
    }

    var references: [TemplateReference] { Self.references(in: parts) }

    private static func references(in parts: [Part]) -> [TemplateReference] {
        parts.flatMap { part -> [TemplateReference] in
            switch part {
            case .literal: []
            case .placeholder(let placeholder): [placeholder.reference]
            case .optional(let inner): references(in: inner)
            }
        }
    }

    private static func parse(_ rest: inout Substring, isOptional: Bool) throws(TemplateFault) -> [Part] {
        var parts: [Part] = []
        var literal = ""
        func close() {
            if !literal.isEmpty { parts.append(.literal(literal)) }
            literal = ""
        }
        while let character = rest.first {
            if rest.hasPrefix("{{") || rest.hasPrefix("}}") {
                literal.append(character)
                rest = rest.dropFirst(2)
            } else if rest.hasPrefix("[[") {
                guard !isOptional else { throw TemplateFault("\"[[\" inside \"[[ … ]]\"") }
                close()
                rest = rest.dropFirst(2)
                parts.append(.optional(try parse(&rest, isOptional: true)))
            } else if isOptional, rest.hasPrefix("]]") {
                close()
                rest = rest.dropFirst(2)
                return parts
            } else if character == "{" {
                close()
                guard let end = rest.firstIndex(of: "}") else {
                    throw TemplateFault("\"\(rest.prefix(40))\" has no closing \"}\"; a brace itself is written \"{{\"")
                }
                let inside = rest[rest.index(after: rest.startIndex)..<end]
                parts.append(.placeholder(try placeholder(inside)))
                rest = rest[rest.index(after: end)...]
            } else if character == "}" {
                throw TemplateFault("a \"}\" without its \"{\"; a brace itself is written \"}}\"")
            } else {
                literal.append(character)
                rest = rest.dropFirst()
            }
        }
        guard !isOptional else { throw TemplateFault("\"[[\" is not closed by \"]]\"") }
        close()
        return parts
    }

    private static func placeholder(_ inside: Substring) throws(TemplateFault) -> Placeholder {
        let steps = inside.split(separator: "|", omittingEmptySubsequences: false)
        var filters: [TextFilter] = []
        for step in steps.dropFirst() { filters.append(try TextFilter(step)) }
        let name = TextFilter.trimmed(String(steps.first ?? ""))
        guard !name.isEmpty else { throw TemplateFault("a placeholder \"{\(inside)}\" without a name") }
        return Placeholder(reference: TemplateReference(name), filters: filters)
    }

    /// The text for one record; nil when a placeholder outside `[[ … ]]` is empty.
    func render(_ scope: TemplateScope) -> String? {
        var text = ""
        guard Self.render(parts, scope, into: &text) else { return nil }
        return TextFilter.trimmed(text)
    }

    private static func render(_ parts: [Part], _ scope: TemplateScope, into text: inout String) -> Bool {
        for part in parts {
            switch part {
            case .literal(let literal): text += literal
            case .placeholder(let placeholder):
                var values = scope.values(of: placeholder.reference)
                for filter in placeholder.filters { values = filter.apply(values) }
                values.removeAll(where: \.isEmpty)
                guard !values.isEmpty else { return false }
                text += values.joined(separator: ", ")
            case .optional(let inner):
                var addition = ""
                if render(inner, scope, into: &addition) { text += addition }
            }
        }
        return true
    }
}
