import Pipeline

/// How raw records become question/answer pairs.
package struct TemplateSet: Hashable, Sendable {
    var templates: [PairTemplate] = []
    var nested: [String: NestedField] = [:]
    /// Without templates, the fields that hold the pair.
    var questionField = "question"
    var answerField = "answer"
    /// Without it, or where it is empty, a record is named by its own bytes.
    var sourceIDField: String?
    /// Fields of the raw record that are kept in the output.
    var carried: [String] = []
    /// The parameters as given: a part of the version of a dataset.
    private(set) var jsonValue = JSONValue.object([:])

    init() {}

    init(_ reader: inout ParameterReader) throws(IngestError) {
        var given: [String: JSONValue] = [:]
        for key in ["templates", "nested", "question_field", "answer_field", "source_id_field", "carry"] {
            given[key] = reader.value(key)
        }
        jsonValue = .object(given)
        if let members = try reader.object("nested") {
            for key in members.keys.sorted() {
                let path = reader.place("nested.\(key)")
                nested[key] = try NestedField(ParameterReader(members[key] ?? .null, path: path))
            }
        }
        let names = Set(nested.keys)
        for (index, value) in (try reader.array("templates") ?? []).enumerated() {
            templates.append(try PairTemplate(value, path: "templates[\(index)]", nested: names))
        }
        if let twice = CSVReader.firstRepeated(templates.map(\.name)) {
            throw reader.fault("templates", "holds two templates named \"\(twice)\"")
        }
        for key in ["question_field", "answer_field"] where !templates.isEmpty && given[key] != nil {
            throw reader.fault(key, "is for sources without templates; the templates make the pairs")
        }
        questionField = try reader.string("question_field") ?? questionField
        answerField = try reader.string("answer_field") ?? answerField
        sourceIDField = try reader.string("source_id_field")
        carried = try reader.strings("carry") ?? []
        for name in carried {
            if let why = PairTemplate.reserved[name] { throw reader.fault("carry", "names \"\(name)\", \(why)") }
        }
    }

    /// The fields that must exist as columns.
    var neededFields: [String] {
        var names = carried + (sourceIDField.map { [$0] } ?? []) + nested.values.map(\.field).sorted()
        names += templates.isEmpty ? [questionField, answerField] : templates.flatMap(\.fieldNames)
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }

    /// The pairs of `record`, or the rules it breaks.
    ///
    /// - Parameter fallbackID: The name of a record that has no source id of its own.
    func pairs(of record: Record, fallbackID: @autoclosure () -> String) -> Result<[QuestionAnswer], Violations> {
        let ownID = sourceIDField.flatMap { record.value(at: $0)?.text }.flatMap { $0.isEmpty ? nil : $0 }
        let extras = carried.compactMap { name in
            record.value(at: name).map { RecordValue.Member(key: name, value: $0) }
        }
        guard !templates.isEmpty else {
            let parts = [
                (questionField, record.value(at: questionField)), (answerField, record.value(at: answerField)),
            ]
            var violations: [RuleViolation] = []
            var texts: [String] = []
            for (field, value) in parts {
                guard case .string(let text) = value else {
                    let rule = value == nil ? "required" : "type"
                    let message = value.map { "must be a string, not \($0.typeName)" } ?? "is missing"
                    violations.append(RuleViolation(field: field, rule: rule, message: message))
                    continue
                }
                texts.append(TextFilter.trimmed(text))
                if texts.last?.isEmpty == true {
                    violations.append(RuleViolation(field: field, rule: "required", message: "is empty"))
                }
            }
            guard violations.isEmpty, texts.count == 2 else { return .failure(Violations(violations)) }
            let id = ownID ?? fallbackID()
            return .success([QuestionAnswer(question: texts[0], answer: texts[1], sourceID: id, extras: extras)])
        }
        var scope = TemplateScope(record: record)
        let items = nested.mapValues { $0.items(of: record) }
        var pairs: [QuestionAnswer] = []
        for template in templates {
            scope.lists = template.lists.compactMapValues { joined($0, items[$0.nested] ?? [], scope) }
            for item in template.each.map({ (items[$0] ?? []).map(Optional.some) }) ?? [nil] {
                scope.item = item
                guard template.conditions.allSatisfy({ $0.holds(scope) }),
                    let question = template.question.render(scope), !question.isEmpty,
                    let answer = template.answer.render(scope), !answer.isEmpty
                else { continue }
                let id = template.sourceID?.render(scope) ?? ownID ?? fallbackID()
                let more = template.extras.compactMap { key, text in
                    text.render(scope).map { RecordValue.Member(key: key, value: .string($0)) }
                }
                let kept = extras.filter { template.extras[$0.key] == nil }
                pairs.append(QuestionAnswer(question: question, answer: answer, sourceID: id, extras: kept + more))
            }
            scope.item = nil
        }
        return .success(pairs)
    }

    private func joined(
        _ list: PairTemplate.JoinedList, _ items: [NestedItem], _ outer: TemplateScope
    ) -> String? {
        var scope = outer
        scope.lists = [:]
        var texts: [String] = []
        for item in items where texts.count < list.limit {
            scope.item = item
            guard list.conditions.allSatisfy({ $0.holds(scope) }), let text = list.item.render(scope), !text.isEmpty,
                !texts.contains(text)
            else { continue }
            texts.append(text)
        }
        return texts.isEmpty ? nil : texts.joined(separator: list.separator)
    }
}
