import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct NotificationMessageTests {
    private let start = Timestamp(microseconds: 1_772_366_400_000_000)

    private func stage(
        _ name: String, _ state: TaskState, from: Int = 0, to: Int = 0, output: StageOutput? = nil,
        failure: Failure? = nil,
        attempts: Int = 1
    ) -> RunSummary.Stage {
        let ran = state != .skipped && state != .pending && state != .running
        return RunSummary.Stage(
            name: name, state: state, attempts: attempts, startedAt: ran ? start.advanced(by: .seconds(from)) : nil,
            finishedAt: ran ? start.advanced(by: .seconds(to)) : nil, output: output, failure: failure)
    }

    private func rejected() throws -> NotificationMessage {
        let decision = try GatePolicy(json: [
            "rules": [["metric": "perplexity", "max": 20], ["metric": "loss", "no_worse_than": "champion"]]
        ]).evaluate(metrics: ["candidate": ["perplexity": 812.4, "loss": 6.7]])
        let summary = RunSummary(
            state: .rejected, createdAt: start,
            stages: [
                stage("ingest", .succeeded, from: 1, to: 3, output: StageOutput(cachedFrom: "r1")),
                stage("train", .succeeded, from: 3, to: 248, attempts: 2),
                stage("evaluate", .succeeded, from: 248, to: 300, output: StageOutput(values: ["gate": decision.json])),
                stage("register", .skipped), stage("notify", .running),
            ])
        return NotificationMessage(
            pipeline: "security-qa", run: RunID("r0123"), summary: summary,
            links: [.init(title: "Run", url: "https://m.example/runs/r0123?a=1&b=2")])
    }

    @Test func aRejectionSaysWhichRuleFailedByHowMuch() throws {
        let message = try rejected()
        #expect(message.title == "security-qa rejected: perplexity 812.4 is above 20.0 by 792.4")
        #expect(message.mailSubject == "[martlet] security-qa rejected: perplexity 812.4 is above 20.0 by 792.4")
        #expect(
            message.plainText == """
                security-qa rejected: perplexity 812.4 is above 20.0 by 792.4

                Run       r0123
                Outcome   rejected
                Reason    perplexity 812.4 is above 20.0 by 792.4
                Started   2026-03-01T12:00:00.000Z
                Duration  5m 00s

                Gate: refused
                  FAIL  perplexity 812.4 is above 20.0 by 792.4
                  n/a   loss is not compared: there is no champion yet

                Stages:
                  ingest    succeeded, 2.0s from cache
                  train     succeeded, 4m 05s in 2 attempts
                  evaluate  succeeded, 52.0s
                  register  skipped, not run

                Run: https://m.example/runs/r0123?a=1&b=2

                """)
    }

    @Test func theWebhookIsStable() throws {
        let payload = try rejected().webhookPayload
        #expect(payload["type"] == "dev.martlet.run.ended.v1")
        #expect(payload["outcome"] == "rejected")
        #expect(payload["reason"] == "perplexity 812.4 is above 20.0 by 792.4")
        #expect(payload["duration_seconds"] == 300.0)
        #expect(payload["gate"]?["accepted"] == false)
        #expect(payload["gate"]?["results"]?.arrayValue?.first?["margin"]?.doubleValue == 20 - 812.4)
        #expect(payload["stages"]?.arrayValue?.count == 4)
        #expect(
            payload["stages"]?.arrayValue?.first == [
                "name": "ingest", "state": "succeeded", "attempts": 1, "duration_seconds": 2.0, "cached": true,
            ])
        #expect(
            payload.objectValue?.keys.sorted() == [
                "created_at", "duration_seconds", "finished_at", "gate", "links", "outcome", "pipeline", "reason",
                "run",
                "stages", "type",
            ])
    }

    @Test func slackIsEscapedAndBounded() {
        let failure = Failure(
            class: .permanent, code: "x", message: "<!channel> a & b\r\nBcc: x@y" + String(repeating: "é", count: 9_000)
        )
        let summary = RunSummary(
            state: .failed, createdAt: start, stages: [stage("train", .dead, from: 0, to: 1, failure: failure)])
        let message = NotificationMessage(pipeline: "p", run: RunID("r1"), summary: summary)
        let blocks = message.slackPayload["blocks"]?.arrayValue ?? []
        let texts = blocks.compactMap { $0["text"]?["text"]?.stringValue }
        #expect(texts.count == blocks.count && texts.allSatisfy { $0.count <= 3_000 })
        #expect(texts.contains { $0.hasPrefix("> stage train failed: &lt;!channel&gt; a &amp; b Bcc: x@y") })
        #expect(message.mailSubject.count <= 180)
        #expect(!message.mailSubject.contains { $0.isNewline })
    }

    @Test func slackLinksOnlyWhatABrowserOpens() {
        let message = NotificationMessage(
            pipeline: "p", run: RunID("r1"), summary: RunSummary(state: .succeeded, createdAt: start, stages: []),
            links: [.init(title: "Run", url: "https://m/r?a&b"), .init(title: "Model version", url: "models:/qa/7")])
        let last = message.slackPayload["blocks"]?.arrayValue?.last?["text"]?["text"]?.stringValue
        #expect(last == "<https://m/r?a&amp;b|Run>  ·  Model version `models:/qa/7`")
    }

    @Test func successNeedsNoReason() {
        let summary = RunSummary(state: .succeeded, createdAt: start, stages: [stage("a", .succeeded, to: 61)])
        let message = NotificationMessage(pipeline: "p", run: RunID("r1"), summary: summary)
        #expect(
            message.title == "p succeeded" && message.gate == nil && message.webhookPayload["reason"] == JSONValue.null)
    }

    @Test(
        arguments: [
            (0, "0ms"), (0.85, "850ms"), (12.34, "12.3s"), (59.96, "1m 00s"), (0.9999, "1.0s"), (245, "4m 05s"),
            (3_599.6, "1h 00m"),
            (7_380, "2h 03m"),
            (273_600, "3d 04h"), (-1, "?"), (.nan, "?"),
        ] as [(Double, String)])
    func durations(_ seconds: Double, _ text: String) {
        #expect(NumberText.duration(seconds: seconds) == text)
    }

    @Test(
        arguments: [
            (812.4, "812.4"), (20, "20.0"), (792.3999999999999, "792.4"), (0.1 + 0.2, "0.3"),
            (0.000123456789, "0.000123457"),
            (1_234_567, "1234570.0"), (-0.5, "-0.5"), (0, "0.0"), (1e-20, "1e-20"), (6.02e23, "6.02e+23"),
            (.infinity, "inf"),
        ] as [(Double, String)])
    func numbers(_ value: Double, _ text: String) {
        #expect(NumberText.short(value) == text)
    }
}
