import Foundation
import Pipeline
import Testing

/// What is spelled by hand must be what the encoder would have written.
@Suite struct MessageJSONTests {
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
        #expect(try JSONValue(json: Array(result.json.utf8)).decoded() == encoded)
    }

    private static func payload(_ change: (inout TaskPayload) -> Void = { _ in }) -> TaskPayload {
        var payload = TaskPayload(
            run: RunID("r1"), pipeline: "p", stage: "s", kind: "noop", pool: "noop", timeoutSeconds: 0.5,
            ackPolicy: .onClaim, cache: true, parameters: ["rate": 1e-4, "names": ["a", nil]], inputs: [:])
        change(&payload)
        return payload
    }

    private static let payloads = [
        payload(),
        payload { payload in
            payload.inputs = ["a": StageOutput(values: ["n": 1], digest: "d"), "b": StageOutput()]
            payload.generation = 2
            payload.resourceRetry = true
        },
        payload { payload in
            payload.outcome = RunSummary(
                state: .failed, reason: "stage \"a\" failed", createdAt: Timestamp(microseconds: 1_700_000_000_000_001),
                stages: [
                    RunSummary.Stage(
                        name: "a", state: .dead, attempts: 3, startedAt: Timestamp(microseconds: 1),
                        finishedAt: Timestamp(microseconds: 2_000_000), output: StageOutput(values: ["x": 0.1]),
                        failure: Failure(class: .lost, code: "c", message: "m")),
                    RunSummary.Stage(name: "b", state: .skipped, attempts: 1),
                ])
        },
    ]

    @Test(arguments: payloads)
    func isReadAsTheEncodersText(_ payload: TaskPayload) throws {
        let encoded = try JSONDecoder().decode(TaskPayload.self, from: try JSONEncoder().encode(payload))
        #expect(encoded == payload)
        #expect(try JSONDecoder().decode(TaskPayload.self, from: Data(payload.json.utf8)) == payload)
        #expect(try JSONValue(json: Array(payload.json.utf8)).decoded() == payload)
    }
}
