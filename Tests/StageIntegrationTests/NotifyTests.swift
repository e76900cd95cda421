import Foundation
import HTTPTransport
import Ledger
import Logging
import NotifyStage
import Pipeline
import Testing

@testable import StageSupport
@testable import WorkerRuntime

/// Who is told what, how often, and what becomes of it when somebody does not listen.
@Suite struct NotifyTests {
    private static let secret = "wh-t0psecret"

    private static func summary(_ state: RunState = .rejected) -> RunSummary {
        RunSummary(
            state: state, reason: state == .rejected ? "perplexity 41 is above 20 by 21" : nil,
            createdAt: Timestamp(microseconds: 1_000_000),
            stages: [
                RunSummary.Stage(
                    name: "train", state: .succeeded, attempts: 1, startedAt: Timestamp(microseconds: 2_000_000),
                    finishedAt: Timestamp(microseconds: 62_000_000)),
                RunSummary.Stage(
                    name: "evaluate", state: .succeeded, attempts: 1,
                    output: StageOutput(
                        artifacts: ManifestReference(
                            bucket: "b", key: "runs/r/evaluate/t/manifest.json", sha256: "5ha"),
                        values: [
                            "type": .string(OutputType.evaluation.rawValue), "mlflow_run_id": "cafe",
                        ])),
                RunSummary.Stage(
                    name: "register", state: .succeeded, attempts: 1,
                    output: StageOutput(
                        values: [
                            "type": .string(OutputType.modelVersion.rawValue), "name": "qa", "version": "7",
                            "mlflow_run_id": "cafe",
                        ])),
            ])
    }

    private struct Setting {
        var bench: Workbench
        var ledger: Ledger
        var peer: Peer
        var run: RunID
        var kept: String

        /// What came, in order.
        func records() throws -> [JSONValue] {
            guard let text = try? String(contentsOfFile: kept, encoding: .utf8) else { return [] }
            return try text.split(separator: "\n").map {
                try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
            }
        }

        func webhook(_ name: String, path: String) -> Receiver {
            .webhook(name: name, url: peer.url + path, secret: NotifyTests.secret)
        }

        func tell(
            _ receivers: [Receiver], allowing: [String] = ["127.0.0.1"], state: RunState = .rejected
        ) async throws -> (output: StageOutput?, failure: Failure?, log: String) {
            let handler = NotifyHandler(
                receivers: receivers, transport: bench.transport, ledger: ledger,
                addressPolicy: .publicOnly(allowing: allowing), linksBase: "https://martlet.example.com/")
            let context = bench.context("notify", run: run, parameters: [:], outcome: summary(state))
            do {
                return (try await handler.run(context).output, nil, context.log.text)
            } catch {
                return (nil, FailureClassifier.failure(for: error), context.log.text)
            }
        }
    }

    private func with(_ body: @Sendable (Setting) async throws -> Void) async throws {
        try await Workbench.with { bench in
            try await bench.withLedger { ledger in
                let kept = bench.folder + "/received.jsonl"
                let peer = try await Peer.start("receiver", [kept, Self.secret])
                try await body(
                    Setting(
                        bench: bench, ledger: ledger, peer: peer, run: try await bench.acceptedRun(ledger), kept: kept))
            }
        }
    }

    @Test(.timeLimit(.minutes(4)), arguments: [RunState.succeeded, .rejected, .failed, .cancelled])
    func everyOutcomeIsToldAndSigned(_ state: RunState) async throws {
        try await with { setting in
            let (output, failure, log) = try await setting.tell(
                [setting.webhook("on-call", path: "/hook?token=t0psecret")], state: state)
            #expect(failure == nil)
            #expect(output?.values["receivers"]?["on-call"]?["status"]?.intValue == 200)
            let record = try #require(try setting.records().first)
            #expect(record["signed"] == true)
            #expect(record["fresh"] == true)
            #expect(record["body"]?["outcome"]?.stringValue == state.rawValue)
            #expect(record["body"]?["run"]?.stringValue == setting.run.description)
            #expect(
                record["body"]?["links"]?.arrayValue?.compactMap { $0["url"]?.stringValue } == [
                    "https://martlet.example.com/runs/\(setting.run)", "runs:/cafe", "models:/qa/7",
                    "s3://b/runs/r/evaluate/t/report.json",
                ])
            #expect(record["key"]?.stringValue == "\(setting.run)/notify/1/on-call")
            #expect(record["body"]?["idempotency_key"] == record["key"], "the signature covers the body")
            #expect(output?.values["receivers"]?["on-call"]?["signed"] == true)
            #expect(!log.contains("t0psecret"))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aWebhookWithoutASecretIsToldAndPointedOut() async throws {
        try await with { setting in
            let bare = Receiver.webhook(name: "bare", url: setting.peer.url + "/hook", secret: nil)
            let (output, failure, log) = try await setting.tell([bare])
            #expect(failure == nil)
            #expect(log.contains("warning: bare was told without a signature"))
            #expect(output?.values["receivers"]?["bare"]?["signed"] == false)
            #expect(try await setting.ledger.effects(of: setting.run).first?.outcome?["signed"] == false)
            #expect(try setting.records().first?["signed"] == false)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func slackAndMailAreToldInTheirOwnWords() async throws {
        try await with { setting in
            let mail = Receiver.mail(
                server: SMTPServer(host: "127.0.0.1", port: setting.peer.ports[1], security: .none),
                from: "martlet@example.com", to: ["team@example.com", "boss@example.com"])
            let (output, failure, log) = try await setting.tell(
                [.slack(url: setting.peer.url + "/services/t0psecret"), mail])
            #expect(failure == nil, "\(failure?.message ?? "")")
            #expect(output?.values["receivers"]?.objectValue?.keys.sorted() == ["mail", "slack"])
            let records = try setting.records()
            let slack = try #require(records.first { $0["kind"] == "hook" })
            #expect(slack["body"]?["text"]?.stringValue?.contains("perplexity 41 is above 20") == true)
            #expect(slack["body"]?["blocks"]?.arrayValue?.isEmpty == false)
            let letter = try #require(records.first { $0["kind"] == "mail" })
            #expect(letter["recipients"]?.arrayValue?.count == 2)
            #expect(letter["text"]?.stringValue?.contains("Subject:") == true)
            #expect(!log.contains("t0psecret"))
        }
    }

    /// The stage is tried again for the one that did not listen; those who were told are left in peace.
    @Test(.timeLimit(.minutes(4)))
    func aFailingReceiverIsTriedAgainAloneThenSucceeds() async throws {
        try await with { setting in
            // A call that fails is repeated once at once, so four refusals are two attempts.
            let receivers = [setting.webhook("good", path: "/good"), setting.webhook("bad", path: "/fail/4")]
            for attempt in 1...2 {
                let (_, failure, _) = try await setting.tell(receivers)
                #expect(failure?.class == .retryable, "attempt \(attempt)")
                #expect(failure?.message.hasPrefix("bad: ") == true)
            }
            let (output, failure, log) = try await setting.tell(receivers)
            #expect(failure == nil)
            #expect(output?.values["receivers"]?.objectValue?.count == 2)
            #expect(log.contains("good was told before"))
            let records = try setting.records()
            #expect(records.filter { $0["path"] == "/good" }.count == 1)
            let keys = Set(records.filter { $0["path"] == "/fail/4" }.compactMap { $0["key"]?.stringValue })
            #expect(keys.count == 1, "every try carries the same idempotency key")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aReceiverThatRefusesIsShownAsFailed() async throws {
        try await with { setting in
            let closed = Receiver.webhook(name: "closed", url: "http://127.0.0.1:9/t0psecret?k=t0psecret", secret: nil)
            let (_, failure, log) = try await setting.tell([
                setting.webhook("broken", path: "/broken"), setting.webhook("good", path: "/good"), closed,
            ])
            let effects = try await setting.ledger.effects(of: setting.run)
            #expect(
                effects.map { [$0.key, $0.state] }.sorted { $0[0] < $1[0] } == [
                    ["notify/1/broken", "failed"], ["notify/1/closed", "failed"], ["notify/1/good", "done"],
                ])
            #expect(failure?.class == .retryable, "the closed port may open again")
            #expect(
                effects.first { $0.key.hasSuffix("broken") }?.outcome?["error"]?.stringValue?.contains("400") == true)
            #expect(!log.contains("?k="))
            #expect(failure?.message.contains("?k=") == false)
        }
    }

    @Test(
        .timeLimit(.minutes(4)),
        arguments: [
            "http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/", "http://169.254.169.254/latest/",
            "http://[fe80::1]/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]:1/",
        ])
    func addressesInsideAreRefusedUnlessAllowed(_ url: String) async throws {
        try await with { setting in
            for receiver in [Receiver.webhook(name: "inside", url: url, secret: nil), .slack(url: url)] {
                let (_, failure, _) = try await setting.tell([receiver], allowing: [])
                #expect(failure?.code == "http.address_refused", "\(failure?.message ?? "told")")
                #expect(failure?.class == .permanent)
            }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func withoutReceiversNobodyIsToldAndItSaysSo() async throws {
        try await with { setting in
            let (output, failure, log) = try await setting.tell([])
            #expect(failure == nil)
            #expect(output?.values["receivers"] == [:])
            #expect(log.contains("nobody was told"))
        }
    }

    /// A rollout's end is told once, by whichever process finds it; who fails is told again, alone.
    @Test(.timeLimit(.minutes(4)))
    func aRolloutsEndIsToldOnce() async throws {
        try await with { setting in
            let ledger = setting.ledger
            try await ledger.startRollout(
                id: "r1", model: "qa", candidate: "8", baseline: "7", policy: RolloutPolicy(), actor: "test")
            let sender = NotificationSender(
                transport: setting.bench.transport, addressPolicy: .publicOnly(allowing: ["127.0.0.1"]))
            let notifiers = (0..<2).map { _ in
                RolloutNotifier(
                    ledger: ledger,
                    receivers: [
                        setting.webhook("on-call", path: "/hook"), setting.webhook("late", path: "/fail/2"),
                        setting.webhook("refusing", path: "/broken"),
                    ], sender: sender, pause: 2, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            }
            #expect(try await !notifiers[0].tellNext(), "it has not ended")
            try await ledger.changeRollout("r1", actor: "test") { _ in
                RolloutChange(
                    effect: .state(.rolledBack), verdict: "fail", action: "roll_back", summary: "errors 0.4",
                    evidence: .object([:]))
            }
            let told = try await withThrowingTaskGroup(of: Bool.self) { group in
                for notifier in notifiers { group.addTask { try await notifier.tellNext() } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(told.filter(\.self).count == 1)
            // The one that failed has its pause; who refused for good is not asked again, nor is who was told.
            while try await !notifiers[1].tellNext() { try await Task.sleep(for: .milliseconds(20)) }
            let hooks = try setting.records().filter { $0["path"] == "/hook" }
            let body = try #require(hooks.first?["body"])
            #expect(hooks.count == 1 && hooks.first?["signed"] == true)
            #expect(body["type"] == "dev.martlet.rollout.ended.v1" && body["outcome"] == "rolled_back")
            #expect(body["model"] == "qa" && body["version"] == "8" && body["reason"] == "errors 0.4")
            #expect(body["idempotency_key"] == "rollout/r1/on-call")
            let late = try setting.records().filter { $0["path"] == "/fail/2" }
            #expect(late.compactMap { $0["status"]?.intValue } == [503, 503, 200])
            #expect(Set(late.compactMap { $0["key"]?.stringValue }) == ["rollout/r1/late"])
            #expect(try await !notifiers[0].tellNext(), "all is told")
        }
    }
}
