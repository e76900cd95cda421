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
        let document = try JSONValue(json: Array(result.json.utf8))
        #expect(try document.decoded() == encoded)
        #expect(try TaskResult(JSONPlace(document)) == encoded)
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
        let document = try JSONValue(json: Array(payload.json.utf8))
        #expect(try document.decoded() == payload)
        #expect(try TaskPayload(JSONPlace(document)) == payload)
    }

    /// Whatever is missing, null or of another type: read by hand, a message is refused, or not, as by `Decodable`.
    @Test func whatIsWrongIsToldAsTheDecoderTellsIt() throws {
        var refusals = 0
        for result in Self.results { refusals += try compare(TaskResult.self, with: result.json) }
        for payload in Self.payloads { refusals += try compare(TaskPayload.self, with: payload.json) }
        #expect(refusals > 100)
    }

    /// - Returns: how many changes of the text were refused.
    private func compare<Message: JSONReadable & Equatable>(_ type: Message.Type, with text: String) throws -> Int {
        let document = try JSONValue(json: Array(text.utf8))
        var refusals = 0
        for (changed, what) in Self.changes(of: document, at: "") {
            let event = JSONValue.object([
                "specversion": "1.0", "type": "t", "source": "s", "id": "i", "time": "2026-01-01T00:00:00Z",
                "data": changed,
            ])
            let expected = Self.outcome { try changed.decoded(as: Message.self) }
            let actual = Self.outcome { try Message(JSONPlace(changed)) }
            #expect(actual == expected, "\(what)")
            if case .failure(let error) = actual { refusals += error.path == nil ? 0 : 1 }
            guard Message.self == TaskResult.self else { continue }
            let whole = Self.outcome { try event.decoded(as: CloudEvent<TaskResult>.self).data }
            #expect(Self.outcome { try CloudEvent<TaskResult>(JSONPlace(event)).data } == whole, "\(what)")
        }
        return refusals
    }

    /// Every member, at every depth, left out, null, and of each other type.
    private static func changes(of value: JSONValue, at path: String) -> [(JSONValue, String)] {
        guard case .object(let members) = value else { return [] }
        return members.flatMap { name, member -> [(JSONValue, String)] in
            var without = members
            without[name] = nil
            var changes: [(JSONValue, String)] = [(.object(without), "\(path).\(name) left out")]
            let replacements = [nil, 7, -0.5, true, "text", [1], ["a": 1], [:]] as [JSONValue]
            for replacement in replacements {
                var changed = members
                changed[name] = replacement
                changes.append((.object(changed), "\(path).\(name) = \(replacement.canonicalJSON)"))
            }
            for (inner, what) in Self.changes(of: member, at: "\(path).\(name)") {
                var changed = members
                changed[name] = inner
                changes.append((.object(changed), what))
            }
            return changes
        }
    }

    private struct Refusal: Error, Equatable {
        var path: String?
        var kind: String
    }

    private static func outcome<Value>(_ body: () throws -> Value) -> Result<Value, Refusal> {
        do {
            return .success(try body())
        } catch let error as DecodingError {
            func refusal(_ kind: String, _ context: DecodingError.Context, _ key: (any CodingKey)? = nil) -> Refusal {
                let keys = context.codingPath + (key.map { [$0] } ?? [])
                return Refusal(path: keys.map(\.stringValue).joined(separator: "."), kind: kind)
            }
            switch error {
            case .keyNotFound(let key, let context): return .failure(refusal("missing", context, key))
            case .valueNotFound(_, let context): return .failure(refusal("null", context))
            case .typeMismatch(_, let context): return .failure(refusal("type", context))
            case .dataCorrupted(let context): return .failure(refusal("value", context))
            @unknown default: return .failure(Refusal(path: nil, kind: "unknown"))
            }
        } catch {
            return .failure(Refusal(path: nil, kind: "\(error)"))
        }
    }
}
