import Pipeline
import Testing

@testable import Rollouts

@Suite struct HeldOutPromptsTests {
    private static func file(_ count: Int) -> [UInt8] {
        let lines = (0..<count).map { #"{"id":"\#($0)","question":"q\#($0)","answer":"a\#($0)"}"# }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    @Test func theyAreSpreadOverTheFile() throws {
        let chosen = try HeldOutPrompts.choose(Self.file(100), system: "s", count: 4)
        #expect(chosen.map(\.question) == ["q0", "q25", "q50", "q75"])
        #expect(chosen.map(\.answer) == ["a0", "a25", "a50", "a75"] && chosen.allSatisfy { $0.system == "s" })
        #expect(try HeldOutPrompts.choose(Self.file(3), system: nil, count: 4).count == 3)
        #expect(try HeldOutPrompts.choose(Self.file(3), system: nil, count: 0).isEmpty)
    }

    @Test func thePreprocessStageSaysWhereTheyAre() throws {
        let values = #"""
            {"type":"tokens","base_model":"m","report":{"eval_file":"eval.safetensors","eval_jsonl":"eval.jsonl",
             "report":{"parameters":{"system_prompt":"You are a security expert.","seed":23}}}}
            """#
        let output = StageOutput(values: try JSONValue(json: Array(values.utf8)))
        let file = try #require(HeldOutPrompts.file(of: output))
        #expect(file.name == "eval.jsonl" && file.system == "You are a security expert.")
        #expect(HeldOutPrompts.file(of: StageOutput(values: ["type": "model"])) == nil)
    }

    @Test func whatIsNoExampleIsLeftOut() throws {
        let long = String(repeating: "x", count: 5_000)
        let text = [
            #"{"question":"q","answer":""}"#, #"{"question":"q"}"#, #"{"question":"\#(long)","answer":"a"}"#,
            #"{"question":"é","answer":"ü"}"#,
        ].joined(separator: "\n")
        #expect(try HeldOutPrompts.choose(Array(text.utf8), system: nil, count: 9).map(\.answer) == ["ü"])
        #expect(throws: (any Error).self) { try HeldOutPrompts.choose(Array("{".utf8), system: nil, count: 9) }
    }
}
