import Pipeline
import Testing

@testable import IngestStage

@Suite struct TemplateTests {
    private func answers(
        _ record: String, _ template: [String: JSONValue], nested: JSONValue = [:]
    ) async throws -> [String] {
        let given = template.merging(["name": "t", "question": "{q|default:Q?}"]) { old, _ in old }
        let outcome = try await ingest(
            record,
            [
                "templates": [.object(given)], "nested": nested, "duplicates": ["near": false, "exact": false],
                "merge": ["mode": "keep"],
            ])
        if let error = outcome.error { return [error.code.name] }
        return outcome.records.pairs.compactMap { $0["answer"]?.stringValue }
    }

    @Test(arguments: [
        ("{t}", "One.  Two?"), ("{t|collapse}", "One. Two?"), ("{t|first_sentence}", "One."),
        ("{t|upper}", "ONE.  TWO?"),
        ("{n|sentence}", "7."), ("{x|default:none}", "none"), ("{l|join:; }", "a; b; a"), ("{l|unique|join:-}", "a-b"),
        ("{l|first}{l|last}", "aa"), ("{t|truncate:6}", "One."), ("{t|replace:One=>1}", "1.  Two?"),
        ("{t|trim|strip_prefix:One. |strip_suffix:?}", "Two"), ("{o.k}", "v"), ("{o.deep.er}", "w"), ("{dot.ted}", "d"),
        ("{{{n}}}", "{7}"), ("A[[ and {x}]][[ or {n}]]", "A or 7"), ("{b}", "true"),
    ])
    func placeholdersAndFilters(_ template: String, _ expected: String) async throws {
        let record =
            #"{"t":"  One.  Two? ","n":7,"b":true,"l":["a","b","a"],"o":{"k":"v","deep":{"er":"w"}},"dot.ted":"d","x":""}"#
        #expect(try await answers(record, ["answer": .string(template)]) == [expected])
    }

    @Test(arguments: ["{x}", "{missing}", "{o}", "{missing} and more"])
    func aHoleMeansThatTheTemplateDoesNotApply(_ template: String) async throws {
        #expect(try await answers(#"{"x":" ","o":{}}"#, ["answer": .string(template)]) == ["ingest.no_valid_records"])
    }

    private static let packed: JSONValue = [
        "items": [
            "field": "m", "separator": "::", "parts": ["PHASE", "DESCRIPTION", "NOTE"], "starts": ["PHASE"],
        ]
    ]

    @Test(arguments: [
        ("::PHASE:Build:DESCRIPTION:Do it.::PHASE:Test:DESCRIPTION:Try it.::", ["Build|Do it.", "Test|Try it."]),
        // The separator and the mark inside of a text are text.
        ("::PHASE:A:DESCRIPTION:Use std::string: it is safe.::", ["A|Use std::string: it is safe."]),
        ("::PHASE:A:DESCRIPTION:One.:DESCRIPTION:Two.::", ["A|One., Two."]),
        ("::PHASE::DESCRIPTION:Only.::", ["|Only."]),
        ("PHASE:A:DESCRIPTION:No ends", ["A|No ends"]), ("::PHASE:A:NOTE:n::", ["ingest.no_valid_records"]),
        ("::::", ["ingest.no_valid_records"]), ("::PHASE:A:DESCRIPTION:é — ü 😀::", ["A|é — ü 😀"]),
    ])
    func packedFieldsAreTakenApart(_ packed: String, _ expected: [String]) async throws {
        let found = try await answers(
            #"{"m":"\#(packed)"}"#, ["each": "items", "answer": "[[{item.PHASE}]]|{item.DESCRIPTION}"],
            nested: Self.packed)
        #expect(found == expected)
    }

    @Test func arraysOfObjectsAreItemsToo() async throws {
        let found = try await answers(
            #"{"m":[{"a":"x","b":["1","2"]},{"a":"y"},"plain"]}"#,
            ["each": "items", "answer": "{item.index}:[[{item.a}]][[{item.b|join:+}]][[{item}]]"],
            nested: ["items": ["field": "m"]])
        #expect(found == ["1:x1+2", "2:y", "3:plain"])
    }

    @Test func listsJoinItemsOnceAndInOrder() async throws {
        let found = try await answers(
            #"{"m":"::PHASE:A:DESCRIPTION:one::PHASE:B:DESCRIPTION:two::PHASE:A:DESCRIPTION:one::"}"#,
            [
                "answer": "{list.all}",
                "lists": [
                    "all": ["from": "items", "item": "{item.PHASE}={item.DESCRIPTION}", "with": "; ", "limit": 2]
                ],
            ], nested: Self.packed)
        #expect(found == ["A=one; B=two"])
    }

    @Test func conditionsChoose() async throws {
        for (condition, count) in [
            (["field": "s", "one_of": ["x"]] as JSONValue, 1), (["field": "s", "none_of": ["x"]], 0),
            (["field": "e", "empty": true], 1), ("e", 0), ("s", 1),
        ] {
            let found = try await answers(#"{"s":"x","e":"","a":"A"}"#, ["answer": "{a}", "when": [condition]])
            #expect(found == (count == 1 ? ["A"] : ["ingest.no_valid_records"]), "\(condition.canonicalJSON)")
        }
    }

    private static let wrongTemplates: [([String: JSONValue], String)] = [
        (["answer": "{a"], "closing"), (["answer": "{a|shout}"], "shout"),
        (["answer": "a}"], "}"), (["answer": "[[a"], "closed"), (["answer": "{a|truncate:x}"], "truncate"),
        (["answer": "{list.none}"], "list.none"), (["answer": "{a}", "each": "none"], "none"),
        (["answer": "{a}", "fields": ["id": "x"]], "fields.id"),
        (["answer": "{a}", "fields": ["context": "x"]], "before the question"),
        (["answer": "{a}", "fields": ["messages": "x"]], "instead of question and answer"), (["answer": "{}"], "name"),
    ]

    @Test(arguments: wrongTemplates)
    func aWrongTemplateIsRefusedWithItsPlace(_ template: [String: JSONValue], _ word: String) async throws {
        let given = template.merging(["name": "greeting", "question": "Q?"]) { old, _ in old }
        let outcome = try await ingest(#"{"a":"b"}"#, ["templates": [.object(given)]])
        #expect([.invalidTemplate, .invalidParameters].contains(outcome.error?.code))
        #expect(outcome.error?.message.contains(word) == true, "\(outcome.error?.message ?? "")")
    }

    @Test(arguments: ["id", "answer", "context", "messages"])
    func whatHasAMeaningIsNotCarried(_ name: String) async throws {
        let outcome = try await ingest(pairLine(1), ["carry": [.string(name)]])
        #expect(outcome.error?.code == .invalidParameters)
        #expect(outcome.error?.message.contains("\"carry\" names \"\(name)\", which") == true)
    }
}
