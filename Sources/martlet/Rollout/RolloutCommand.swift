import ArgumentParser
import Configuration
import Foundation
import Ledger
import Logging
import MLflowClient
import Pipeline
import Rollouts

struct RolloutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollout", abstract: "Versions that take over step by step, judged by what they do.",
        discussion: """
              martlet rollout start security-qa
              martlet rollout start security-qa --version 7 --steps 5,25,100 --minimum-samples 200
              martlet rollout status security-qa
              martlet rollout abort security-qa
            """,
        subcommands: [
            RolloutStartCommand.self, RolloutStatusCommand.self, RolloutPauseCommand.self, RolloutResumeCommand.self,
            RolloutPromoteCommand.self, RolloutAbortCommand.self, RolloutHistoryCommand.self,
        ])
}

/// A rollout for people and programs.
private struct RolloutRow: Encodable {
    var id: String
    var model: String
    var candidate: String
    var baseline: String
    var state: String
    var step: Int
    var steps: [Double]
    var share: Double
    var startedAt: String
    var finishedAt: String?
    var reason: String?
    var judgement: JSONValue?
    var verdicts: [Verdict]?

    struct Verdict: Encodable {
        var at: String
        var step: Int
        var verdict: String
        var action: String
        var summary: String
        var evidence: JSONValue
    }

    init(_ rollout: Rollout) {
        id = rollout.id
        model = rollout.model
        candidate = rollout.candidate
        baseline = rollout.baseline
        state = rollout.state.rawValue
        step = rollout.step
        steps = rollout.policy.shares
        share = rollout.share
        startedAt = rollout.startedAt.description
        finishedAt = rollout.finishedAt?.description
        reason = rollout.reason
    }
}

/// What a rollout's commands share.
private struct RolloutTools {
    let ledger: Ledger
    let mlflow: MLflowClient

    init(_ global: GlobalOptions) throws {
        let services = Services(quiet: try global.load(), name: "martlet rollout")
        ledger = try services.ledger(connections: 1)
        mlflow = try services.mlflow(services.transport())
    }

    /// The one that is under way.
    func alive(_ model: String) async throws -> Rollout {
        guard let rollout = try await ledger.rolloutsAlive().first(where: { $0.model == model }) else {
            throw LedgerError.noRollout(model)
        }
        return rollout
    }

    /// Changes the state by hand.
    func change(
        _ model: String, to state: RolloutState, action: String, from allowed: Set<RolloutState>
    ) async throws {
        let rollout = try await alive(model)
        let actor = Actor.name
        try await ledger.changeRollout(rollout.id, actor: actor) { current in
            guard allowed.contains(current.state) else {
                throw LedgerError.rolloutIs(current.state, model: model)
            }
            return RolloutChange(
                effect: .state(state), verdict: "by_hand", action: action, summary: "\(action) by \(actor)")
        }
        print("\(model): \(state.rawValue)")
    }
}

struct RolloutStartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Begins to send a part of a model's requests to another version.",
        discussion: """
            The version must be served: `martlet serve MODEL --alias champion --alias challenger` serves both sides by
            side.

              martlet rollout start security-qa
              martlet rollout start security-qa --version 7 --steps 1,5,25,50,100
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The model.")
    var model: String

    @Option(help: "The version that is to take over; the challenger without it.")
    var version: String?

    @Option(help: "Per cent of the requests, with commas between them; the last is 100.")
    var steps = "1,5,25,50,100"

    @Option(help: "Per cent of the requests of which it first answers copies, for nobody; 0 for none.")
    var mirror = 0.0

    @Option(help: "Answers of the new version that a step needs.")
    var minimumSamples = 100

    @Option(help: "Seconds that a step takes at least.")
    var minimumSeconds = 60.0

    @Option(help: "Seconds after which a step that is undecided is rolled back.")
    var deadline = 3_600.0

    @Option(help: "Held-out answers on which both versions are compared; 0 for none.")
    var probes = 48

    @Option(
        help: ArgumentHelp(
            "How much worse the new version may be: per_token=0.3, first_token=0.5, quality=0.1, errors=0.02, empty=0.02, "
                + "truncated=0.15, length=0.5; may be given more than once.",
            valueName: "name=value"))
    var margin: [String] = []

    /// The policy's margins, as a pipeline would write them.
    private func margins() throws -> JSONValue {
        var members: [String: JSONValue] = [:]
        for text in margin {
            let parts = text.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let value = Double(parts[1]) else {
                throw ValidationError("--margin \(text) is no name and number, such as per_token=0.3")
            }
            members[String(parts[0])] = .double(value)
        }
        return .object(["margins": .object(members)])
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let tools = try RolloutTools(global)
            let margins = try margins()
            if let problem = RolloutPolicy.problem(in: margins) { throw ValidationError("--margin: \(problem)") }
            var policy = RolloutPolicy(json: margins)
            policy.steps = steps.split(separator: ",").map { (Double($0) ?? -1) / 100 }
            policy.mirror = mirror / 100
            policy.minimumSamples = minimumSamples
            policy.minimumSeconds = minimumSeconds
            policy.deadline = deadline
            policy.probes = probes
            if let problem = policy.problem { throw ValidationError("the policy cannot be used: \(problem)") }
            guard let champion = try await tools.mlflow.modelVersion(name: model, alias: "champion") else {
                throw LedgerError.noAlias("champion", model: model)
            }
            let candidate: String
            if let version {
                guard try await tools.mlflow.modelVersion(name: model, version: version) != nil else {
                    throw ValidationError("--version \(version): the registry has no such version of '\(model)'")
                }
                candidate = version
            } else if let challenger = try await tools.mlflow.modelVersion(name: model, alias: "challenger") {
                candidate = challenger.version
            } else {
                throw LedgerError.noAlias("challenger", model: model)
            }
            let id = "\(model)-\(candidate)-\(Int(Date().timeIntervalSince1970))"
            try await tools.ledger.startRollout(
                id: id, model: model, candidate: candidate, baseline: champion.version, policy: policy,
                actor: Actor.name)
            print("\(id): version \(candidate) begins with \(NumberText.short(policy.shares[0] * 100)) %")
        }
    }
}

struct RolloutStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows how a model's latest rollout stands, with every metric's numbers.",
        discussion: """
              martlet rollout status security-qa
              martlet rollout status security-qa --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The model.")
    var model: String

    func run() async throws {
        try await ExitCodes.guarding {
            let tools = try RolloutTools(global)
            guard let rollout = try await tools.ledger.rollouts(model: model, limit: 1).first else {
                throw LedgerError.noRollout(model)
            }
            let controller = RolloutController(
                ledger: tools.ledger, mlflow: tools.mlflow,
                logger: Logger(label: "martlet.command") { _ in SwiftLogNoOpLogHandler() })
            let judgement = try await controller.judge(rollout)
            let verdicts = try await tools.ledger.rolloutVerdicts(rollout.id)
            switch format.output {
            case .json:
                var row = RolloutRow(rollout)
                row.judgement = judgement.json
                row.verdicts = verdicts.map {
                    RolloutRow.Verdict(
                        at: $0.decidedAt.description, step: $0.step, verdict: $0.verdict, action: $0.action,
                        summary: $0.summary, evidence: $0.evidence)
                }
                print(try JSONText.of(row))
            case .table:
                let share = NumberText.short(rollout.share * 100)
                print(
                    "\(rollout.model): version \(rollout.candidate) after version \(rollout.baseline), "
                        + "\(rollout.state.rawValue), step \(rollout.step + 1) of \(rollout.policy.shares.count), \(share) %"
                )
                if let reason = rollout.reason { print(reason) }
                var table = Table([
                    "METRIC", "CANDIDATE", "BASELINE", "DIFFERENCE", "FROM", "TO", "MARGIN", "SAMPLES", "VERDICT",
                ])
                for finding in judgement.findings {
                    table.add([
                        finding.metric, NumberText.short(finding.candidate), NumberText.short(finding.baseline),
                        NumberText.short(finding.interval.difference), NumberText.short(finding.interval.lower),
                        NumberText.short(finding.interval.upper), NumberText.short(finding.margin),
                        "\(finding.candidateSamples)/\(finding.baselineSamples)", finding.verdict.rawValue,
                    ])
                }
                print(table.text, terminator: "")
                for verdict in verdicts {
                    print(
                        "\(verdict.decidedAt) step \(verdict.step + 1): \(verdict.action): \(Terminal.safe(verdict.summary))"
                    )
                }
            }
        }
    }
}

struct RolloutPauseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Leaves a rollout's share as it is, undecided.")
    @OptionGroup var global: GlobalOptions
    @Argument(help: "The model.")
    var model: String

    func run() async throws {
        try await ExitCodes.guarding {
            try await RolloutTools(global).change(model, to: .paused, action: "pause", from: [.running])
        }
    }
}

struct RolloutResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Goes on with a paused rollout; its step's time begins anew.")
    @OptionGroup var global: GlobalOptions
    @Argument(help: "The model.")
    var model: String

    func run() async throws {
        try await ExitCodes.guarding {
            try await RolloutTools(global).change(model, to: .running, action: "resume", from: [.paused])
        }
    }
}

struct RolloutPromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote", abstract: "Makes a rollout's version the champion at once, whatever the judge says.")
    @OptionGroup var global: GlobalOptions
    @Argument(help: "The model.")
    var model: String

    func run() async throws {
        try await ExitCodes.guarding {
            let tools = try RolloutTools(global)
            let (mlflow, model, actor) = (tools.mlflow, model, Actor.name)
            let change = try await tools.ledger.changeRollout(try await tools.alive(model).id, actor: actor) {
                current in
                guard !current.state.isOver else { throw LedgerError.rolloutIs(current.state, model: model) }
                return try await RolloutController.promotion(
                    current, mlflow: mlflow, verdict: "by_hand", summary: "promoted by \(actor)")
            }
            print("\(model): \(change?.summary ?? "nothing to do")")
            if change?.effect != .state(.promoted) { throw ExitCodes.refused }
        }
    }
}

struct RolloutAbortCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "abort", abstract: "Ends a rollout: all requests go to the old version again.")
    @OptionGroup var global: GlobalOptions
    @Argument(help: "The model.")
    var model: String

    func run() async throws {
        try await ExitCodes.guarding {
            try await RolloutTools(global).change(model, to: .aborted, action: "abort", from: [.running, .paused])
        }
    }
}

struct RolloutHistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Lists rollouts, the latest first.")
    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The model; all without it.")
    var model: String?

    @Option(help: "So many at most.")
    var limit = 50

    func run() async throws {
        try await ExitCodes.guarding {
            let tools = try RolloutTools(global)
            let rows = try await tools.ledger.rollouts(model: model, limit: max(1, limit)).map(RolloutRow.init)
            switch format.output {
            case .json: print(try JSONText.of(rows))
            case .table:
                var table = Table(["ROLLOUT", "MODEL", "FROM", "TO", "STATE", "STARTED", "ENDED", "REASON"])
                for row in rows {
                    table.add([
                        row.id, row.model, row.baseline, row.candidate, row.state, row.startedAt,
                        row.finishedAt ?? "-", (row.reason ?? "-").cut(to: 80),
                    ])
                }
                print(table.text, terminator: "")
            }
        }
    }
}
