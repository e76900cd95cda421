import FoundationEssentials
package import HTTPTransport
package import Ledger
import Logging
import Pipeline
import StageSupport
package import WorkerRuntime

/// Tells every receiver how the run ended, each once. What becomes of it never changes the run's outcome.
package struct NotifyHandler: StageHandler {
    package let kind = "notify"
    package let version = "1"

    private let receivers: [Receiver]
    private let sender: NotificationSender
    private let ledger: Ledger
    /// What links begin with; nil for none.
    private let linksBase: String?

    package init(
        receivers: [Receiver], transport: HTTPTransport, ledger: Ledger, addressPolicy: HTTPAddressPolicy,
        linksBase: String?
    ) {
        self.receivers = receivers
        sender = NotificationSender(transport: transport, addressPolicy: addressPolicy)
        self.ledger = ledger
        self.linksBase = linksBase
    }

    package func run(_ context: StageContext) async throws -> StageResult {
        let parameters = try Parameters(context.payload, known: ["receivers"])
        guard let summary = context.payload.outcome else {
            throw StageFailure(
                .permanent, "notify.too_early",
                "stage \(context.payload.stage) must have `when: always`, so that it knows how the run ended")
        }
        let message = NotificationMessage(
            pipeline: context.payload.pipeline, run: context.payload.run, summary: summary,
            links: links(context) + Self.links(summary))
        for line in message.plainText.split(separator: "\n") { context.log.line(String(line)) }
        let chosen = try choose(parameters)
        if chosen.isEmpty {
            context.log.line("no receivers are configured (notify: in config/martlet.yaml); nobody was told")
        }
        var outcomes: [String: JSONValue] = [:]
        var failures: [StageFailure] = []
        for receiver in chosen {
            do {
                outcomes[receiver.name] = try await tellOnce(receiver, message, context)
            } catch let error as any FailureConvertible {
                context.log.line("\(receiver.name) was not told: \(error.failure.message)")
                failures.append(
                    StageFailure(error.failure.class, error.failure.code, "\(receiver.name): \(error.failure.message)"))
            }
        }
        // Those who were told are not told again when the stage is tried again for the others.
        if let first = failures.first(where: { $0.failure.class == .retryable }) ?? failures.first { throw first }
        return .succeeded(
            StageOutput(
                values: .object([
                    "type": "notification", "outcome": .string(summary.state.rawValue), "title": .string(message.title),
                    "receivers": .object(outcomes),
                ])))
    }

    private func links(_ context: StageContext) -> [NotificationMessage.Link] {
        guard let linksBase else { return [] }
        let base = linksBase.hasSuffix("/") ? String(linksBase.dropLast()) : linksBase
        return [NotificationMessage.Link(title: "Run", url: "\(base)/runs/\(context.payload.run)")]
    }

    /// What the stages left elsewhere, as MLflow and the store name it.
    private static func links(_ summary: RunSummary) -> [NotificationMessage.Link] {
        let outputs = summary.stages.compactMap(\.output)
        func values(_ type: OutputType) -> JSONValue? {
            outputs.last { $0.values["type"]?.stringValue == type.rawValue }?.values
        }
        let (version, evaluation) = (values(.modelVersion), values(.evaluation))
        var links: [NotificationMessage.Link] = []
        if let run = (version?["mlflow_run_id"] ?? evaluation?["mlflow_run_id"])?.stringValue {
            links.append(NotificationMessage.Link(title: "MLflow run", url: "runs:/\(run)"))
        }
        if let name = version?["name"]?.stringValue, let number = version?["version"]?.stringValue {
            links.append(NotificationMessage.Link(title: "Model version", url: "models:/\(name)/\(number)"))
        }
        let judged = outputs.last { $0.values["type"]?.stringValue == OutputType.evaluation.rawValue }
        if let files = judged?.artifacts {
            let folder = files.key.split(separator: "/").dropLast().joined(separator: "/")
            links.append(
                NotificationMessage.Link(title: "Evaluation report", url: "s3://\(files.bucket)/\(folder)/report.json"))
        }
        return links
    }

    private func choose(_ parameters: Parameters) throws -> [Receiver] {
        guard let wanted = parameters["receivers"] else { return receivers }
        guard let names = wanted.arrayValue?.compactMap(\.stringValue), names.count == wanted.arrayValue?.count else {
            throw StageFailure(.permanent, "notify.receivers", "the parameter receivers must be a list of names")
        }
        return try names.map { name in
            guard let receiver = receivers.first(where: { $0.name == name }) else {
                let known = receivers.map(\.name).joined(separator: ", ")
                throw StageFailure(
                    .permanent, "notify.receivers",
                    "there is no receiver \(name); the configuration has \(known.isEmpty ? "none" : known)")
            }
            return receiver
        }
    }

    // MARK: Telling

    private func tellOnce(
        _ receiver: Receiver, _ message: NotificationMessage, _ context: StageContext
    ) async throws -> JSONValue {
        let generation = context.payload.generation ?? 1
        let key = "notify/\(generation)/\(receiver.name)"
        switch try await ledger.claimEffect(run: context.payload.run, key: key, token: context.token) {
        case .done(let outcome):
            context.log.line("\(receiver.name) was told before")
            return outcome
        case .first, .again:
            // Nobody can ask a receiver what it got, so a second try carries the same idempotency key.
            let outcome: JSONValue
            do {
                outcome = try await sender.tell(receiver, message, key: "\(context.payload.run)/\(key)")
            } catch let error as any FailureConvertible {
                NotifyMetrics.told(receiver, succeeded: false)
                try await ledger.recordEffect(
                    run: context.payload.run, key: key, token: context.token, succeeded: false,
                    outcome: .object(["error": .string(error.failure.message)]))
                throw error
            }
            NotifyMetrics.told(receiver, succeeded: true)
            try await ledger.recordEffect(
                run: context.payload.run, key: key, token: context.token, succeeded: true, outcome: outcome)
            if outcome["signed"]?.boolValue == false {
                context.log.line(
                    "warning: \(receiver.name) was told without a signature, so that it cannot know whom the message is "
                        + "from; give the webhook a secret (MARTLET_NOTIFY_WEBHOOK_<NAME>_SECRET)")
            } else {
                context.log.line("\(receiver.name) was told")
            }
            return outcome
        }
    }
}
