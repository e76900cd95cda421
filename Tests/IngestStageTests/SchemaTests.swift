import Pipeline
import Testing

@testable import IngestStage

@Suite struct SchemaTests {
    /// The rules that the values of `f` break, record by record.
    private func broken(_ rule: JSONValue, _ values: [String], unknown: String = "allow") async throws -> [String?] {
        let lines = values.enumerated().map { index, value in
            #"{"question":"q\#(index)","answer":"a\#(index)"\#(value.isEmpty ? "" : ",\"f\":" + value)}"#
        }
        let schema: JSONValue = ["unknown_fields": .string(unknown), "fields": ["f": rule]]
        let outcome = try await ingest(
            lines.joined(separator: "\n") + "\n"
                + #"{"question":"good","answer":"good","f":\#(values.last ?? "null")}"#,
            ["schema": schema, "error_budget": ["fraction": 1, "quoted_reasons": 100], "duplicates": ["near": false]])
        var rules = [String?](repeating: nil, count: values.count)
        for reason in outcome.quarantine.reasons where reason.line <= values.count {
            rules[reason.line - 1] = reason.rule
        }
        return rules
    }

    @Test func everyRuleIsApplied() async throws {
        let cases: [(JSONValue, [(String, String?)])] = [
            (
                ["type": "string", "required": true],
                [("", "required"), ("null", "required"), (#"" ""#, "required"), ("7", "type"), (#""x""#, nil)]
            ),
            (
                ["type": "integer", "minimum": 0, "maximum": 10],
                [("-1", "minimum"), ("11", "maximum"), ("1.5", "type"), ("true", "type"), ("", nil), ("1e1", nil)]
            ),
            (
                ["type": "number"],
                [("1e400", "type"), (#""1""#, "type"), ("[1]", "type"), ("-0.5e-3", nil)]
            ),
            (
                ["type": "string", "min_length": 2, "max_length": 3],
                [(#""é""#, "min_length"), (#""abcd""#, "max_length"), (#""e\u0301e""#, nil), (#""abc""#, nil)]
            ),
            (["type": "string", "enum": ["a", "b"]], [(#""c""#, "enum"), (#""A""#, "enum"), (#""b""#, nil)]),
            (["type": "string", "pattern": "[a-z]+"], [(#""a1""#, "pattern"), (#""ab""#, nil)]),
            (
                ["type": "array", "max_length": 1],
                [("[1,2]", "max_length"), ("{}", nil), (#""x""#, "type"), ("[1]", nil)]
            ),
            (["type": "boolean"], [("0", "type"), (#""true""#, "type"), ("false", nil)]),
            (["type": "object", "required": true], [("{}", "required"), ("[]", "required"), (#"{"a":1}"#, nil)]),
        ]
        for (rule, values) in cases {
            let found = try await broken(rule, values.map(\.0))
            #expect(found == values.map(\.1), "\(rule.canonicalJSON)")
        }
    }

    @Test func numbersInCSVAreReadFromText() async throws {
        let rows =
            "question,answer,n,b\nq1,a1,12,TRUE\nq2,a2,0x1F,true\nq3,a3,1e3,yes\nq4,a4,,\nq5,a5,nan,\nq6,a6,inf,\n"
        let outcome = try await ingest(
            rows, name: "data.csv",
            [
                "schema": ["fields": ["n": ["type": "integer"], "b": ["type": "boolean"]]],
                "error_budget": ["fraction": 1], "duplicates": ["near": false],
            ])
        #expect(outcome.quarantine.reasons.map { "\($0.line) \($0.field)" } == ["3 n", "4 b", "6 n", "7 n"])
        #expect(outcome.manifest?.counts.written == 2)
    }

    @Test func unknownFieldsCanBeErrors() async throws {
        let found = try await broken(["type": "string"], [#""x","other":1"#, #""y""#], unknown: "error")
        #expect(found == ["unknown_field", "unknown_field"], "question and answer are not in this schema either")
    }

    private static let wrongRules: [(JSONValue, String)] = [
        (["type": "integer", "pattern": "a"], "pattern"), (["type": "string", "minimum": 1], "minimum"),
        (["type": "string", "min_length": 3, "max_length": 2], "min_length"), (["type": "text"], "type"),
        (["type": "number", "minimum": 2, "maximum": 1], "minimum"), (["requird": true], "requird"),
        (["type": "string", "pattern": "("], "pattern"),
    ]

    @Test(arguments: wrongRules)
    func aWrongRuleIsRefusedBeforeAnythingIsRead(_ rule: JSONValue, _ place: String) async throws {
        let outcome = try await ingest(pairLine(1), ["schema": ["fields": ["f": rule]]])
        #expect(outcome.error?.code == .invalidParameters)
        #expect(outcome.error?.message.contains("schema.fields.f.\(place)") == true, "\(outcome.error?.message ?? "")")
    }
}
