import Pipeline

/// Makes question/answer pairs from one record.
struct PairTemplate: Hashable, Sendable {
    /// Items of a nested field joined to one text.
    struct JoinedList: Hashable, Sendable {
        var nested: String
        var item: TemplateText
        var separator: String
        var limit: Int
        var conditions: [TemplateCondition]
    }

    var name: String
    var question: TemplateText
    var answer: TemplateText
    var sourceID: TemplateText?
    /// One pair per item of this nested field.
    var each: String?
    var lists: [String: JoinedList] = [:]
    var conditions: [TemplateCondition] = []
    /// More members for the output record.
    var extras: [String: TemplateText] = [:]

    /// The members of an output record that are not free, and why.
    static let reserved = [
        "id": "which every record has already", "source_id": "which every record has already",
        "source_ids": "which every record has already", "question": "which every record has already",
        "answer": "which every record has already",
        "context": "which preprocess would put before the question, unseen by the search for duplicates; "
            + "make it a part of the question with a template",
        "messages": "which preprocess would read instead of question and answer",
    ]

    init(_ value: JSONValue, path: String, nested: Set<String>) throws(IngestError) {
        var reader = try ParameterReader(value, path: path)
        let name = try reader.string("name") ?? path
        let place = "\(path) (\"\(name)\")"
        self.name = name
        guard let question = try reader.string("question") else { throw reader.fault("question", "is required") }
        guard let answer = try reader.string("answer") else { throw reader.fault("answer", "is required") }
        self.question = try Self.text(question, "question", place)
        self.answer = try Self.text(answer, "answer", place)
        if let text = try reader.string("source_id") { sourceID = try Self.text(text, "source_id", place) }
        each = try reader.string("each")
        conditions = try Self.conditions("when", &reader)
        if let members = try reader.object("lists") {
            for key in members.keys.sorted() {
                var list = try ParameterReader(members[key] ?? .null, path: reader.place("lists.\(key)"))
                guard let from = try list.string("from") else { throw list.fault("from", "is required") }
                guard let item = try list.string("item") else { throw list.fault("item", "is required") }
                guard nested.contains(from) else { throw Self.unknownNested(from, list.place("from"), nested) }
                lists[key] = JoinedList(
                    nested: from, item: try Self.text(item, "lists.\(key).item", place),
                    separator: try list.string("with") ?? "\n",
                    limit: Int(try list.integer("limit", in: 1...100_000) ?? 100_000),
                    conditions: try Self.conditions("when", &list))
                try list.finish()
            }
        }
        if let members = try reader.object("fields") {
            for key in members.keys.sorted() {
                guard let text = members[key]?.stringValue else {
                    throw reader.fault("fields.\(key)", "must be a string")
                }
                if let why = Self.reserved[key] {
                    throw reader.fault("fields.\(key)", "names a member \(why); choose another name")
                }
                extras[key] = try Self.text(text, "fields.\(key)", place)
            }
        }
        try reader.finish()
        if let each, !nested.contains(each) { throw Self.unknownNested(each, reader.place("each"), nested) }
        try checkReferences(place)
    }

    private static func conditions(
        _ key: String, _ reader: inout ParameterReader
    ) throws(IngestError) -> [TemplateCondition] {
        var conditions: [TemplateCondition] = []
        for (index, value) in (try reader.array(key) ?? []).enumerated() {
            conditions.append(try TemplateCondition(value, path: reader.place("\(key)[\(index)]")))
        }
        return conditions
    }

    private static func text(_ source: String, _ key: String, _ place: String) throws(IngestError) -> TemplateText {
        do {
            return try TemplateText(source)
        } catch {
            throw IngestError(.invalidTemplate, "Ingest template \(place), \(key): \(error.message).")
        }
    }

    private static func unknownNested(_ name: String, _ path: String, _ nested: Set<String>) -> IngestError {
        let known = nested.isEmpty ? "none are declared" : "declared: \(nested.sorted().joined(separator: ", "))"
        return IngestError(
            .invalidTemplate,
            "Ingest parameter \"\(path)\" names the nested field \"\(name)\", which \"nested\" does not declare; \(known)."
        )
    }

    private func checkReferences(_ place: String) throws(IngestError) {
        let outer = [question, answer] + (sourceID.map { [$0] } ?? []) + extras.values
        let references = outer.flatMap(\.references) + conditions.map(\.reference)
        for reference in references {
            switch reference {
            case .item, .itemPart, .itemIndex:
                guard each != nil else {
                    throw IngestError(
                        .invalidTemplate,
                        "Ingest template \(place): \(reference) has a meaning only with \"each\" or inside a list.")
                }
            case .list(let name):
                guard lists[name] != nil else {
                    throw IngestError(
                        .invalidTemplate, "Ingest template \(place): \(reference) names no list of this template.")
                }
            case .field: break
            }
        }
    }

    /// The fields of the record that the template reads, except through nested fields.
    var fieldNames: [String] {
        let texts = [question, answer] + (sourceID.map { [$0] } ?? []) + extras.values + lists.values.map(\.item)
        let references =
            texts.flatMap(\.references) + (conditions + lists.values.flatMap(\.conditions)).map(\.reference)
        return references.compactMap { reference in
            guard case .field(let name) = reference else { return nil }
            return name
        }
    }
}
