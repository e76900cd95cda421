import Foundation
import Pipeline
import Testing

/// What is spelled by hand must be what the encoder would have written.
@Suite struct TaskResultJSONTests {
    private static let plain = TaskResult(
        task: TaskID(run: RunID("r1"), stage: "a"), attempt: 3, token: ClaimToken("i.t"), worker: "w@host",
        outcome: .succeeded, startedAt: Timestamp(microseconds: 1_700_000_000_123_456),
        finishedAt: Timestamp(microseconds: 1_700_000_001_000_000))

    private static func changed(_ change: (inout TaskResult) -> Void) -> TaskResult {
        var result = plain
        change(&result)
        return result
    }

    private static let results = [
        plain,
        changed { $0.output = StageOutput() },
        changed { result in
            result.log = "runs/r1/a/logs/3.log"
            result.output = StageOutput(
                artifacts: ManifestReference(bucket: "b", key: "k \"q\" ü\n", sha256: "00"),
                values: [
                    "n": 1, "x": 0.1, "whole": 2.0, "big": 1e30, "text": "tab\t nul\0 \\ 😀", "none": nil,
                    "deep": [1, [true, ["a": "b"]]],
                ], digest: "d", cachedFrom: "r0")
        },
        changed { result in
            result.outcome = .failed
            result.failure = Failure(
                class: .resource, code: "train.oom", message: "no \"memory\"\u{7F}", details: ["bytes": 17])
        },
        changed { $0.outcome = .released },
    ]

    @Test(arguments: results)
    func isReadAsTheEncodersText(_ result: TaskResult) throws {
        let decoder = JSONDecoder()
        let encoded = try decoder.decode(TaskResult.self, from: try JSONEncoder().encode(result))
        #expect(try decoder.decode(TaskResult.self, from: Data(result.json.utf8)) == encoded)
    }
}
