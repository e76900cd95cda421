import Pipeline

extension ClosingReport {
    /// The report for a terminal.
    var text: String {
        var title = "run \(run) of pipeline \(pipeline): \(state.rawValue)"
        if let seconds { title += " after \(Age.text(seconds: seconds))" }
        if let reason { title += "\n\(reason)" }
        return [title + "\n", stageTable, metricTable, gateTable, modelLines, nextLines]
            .filter { !$0.isEmpty }.joined(separator: "\n")
    }

    private var stageTable: String {
        var table = Table(["STAGE", "STATE", "TOOK", "ATTEMPTS", "NOTE"])
        for stage in stages {
            table.add([
                stage.name, stage.state.rawValue, stage.seconds.map { Age.text(seconds: $0) } ?? "-",
                String(stage.attempts), (stage.note ?? "").cut(to: 100),
            ])
        }
        return table.text
    }

    private var metricTable: String {
        guard let candidate = metrics["candidate"] else { return "" }
        let others = ["base", "champion"].filter { metrics[$0] != nil }
        var table = Table(["METRIC", "CANDIDATE"] + others.map { $0.uppercased() } + ["AGAINST BASE"])
        for name in candidate.keys.sorted() {
            let base = metrics["base"]?[name]
            table.add(
                [name, Self.number(candidate[name])] + others.map { Self.number(metrics[$0]?[name]) }
                    + [Self.change(from: base, to: candidate[name])])
        }
        return table.text
    }

    private var gateTable: String {
        guard let gate else { return "gate: no decision\n" }
        var table = Table(["", "RULE", "OBSERVED", "", "THRESHOLD", "MARGIN"])
        for result in gate.results {
            guard result.status != .notApplicable else {
                table.add(["–", result.rule, "", "", "", result.explanation])
                continue
            }
            table.add([
                result.passed ? "✓" : "✗", result.rule, Self.number(result.observed),
                result.comparison == .atMost ? "≤" : "≥", Self.number(result.threshold), Self.number(result.margin),
            ])
        }
        return "gate: \(gate.isAccepted ? "accepted" : "rejected")\n" + table.text
    }

    private var modelLines: String {
        guard let model else { return "model: nothing was registered\n" }
        var line = "model: \(model.name) version \(model.version)"
        if !model.aliases.isEmpty { line += ", aliases \(model.aliases.joined(separator: ", "))" }
        if let champion = model.championNow {
            line += champion == model.version ? "; it is the champion" : "; the champion is version \(champion)"
        }
        if let source = model.source { line += "\nweights: \(source)" }
        return line + "\n"
    }

    private var nextLines: String {
        var table = Table(["LOOK NEXT", ""])
        if let mlflow { table.add(["experiments, models", mlflow]) }
        table.add(["everything of the run", "martlet run show \(run)"])
        table.add(["the same for programs", "martlet run show \(run) --output json"])
        let longest = stages.max { ($0.seconds ?? 0) < ($1.seconds ?? 0) }?.name
        table.add(["its logs", "martlet run logs \(run)" + (longest.map { " --stage \($0)" } ?? "")])
        table.add(["what failed", "martlet failed list"])
        if state == .failed { table.add(["run the rest again", "martlet run retry \(run)"]) }
        for stage in stages {
            if let place = artifacts[stage.name] { table.add(["files of \(stage.name)", place]) }
        }
        return table.text + problems.map { "note: \($0)\n" }.joined()
    }

    private static func number(_ value: Double?) -> String {
        value.map(NumberText.short) ?? "-"
    }

    private static func change(from base: Double?, to value: Double?) -> String {
        guard let base, let value, base != 0 else { return "-" }
        let percent = ((value - base) / base.magnitude * 1_000).rounded() / 10
        return (percent > 0 ? "+" : "") + "\(percent) %"
    }
}
