/// What is told of a run that has ended, before it is put into the words of one channel.
package struct NotificationMessage: Hashable, Sendable {
    package struct Link: Hashable, Sendable {
        package var title: String
        package var url: String

        package init(title: String, url: String) {
            self.title = title
            self.url = url
        }
    }

    package struct Stage: Hashable, Sendable {
        package var name: String
        package var state: TaskState
        /// Nil for a stage that did not run.
        package var seconds: Double?
        package var attempts: Int
        package var isCached: Bool
    }

    package var pipeline: String
    package var run: RunID
    package var outcome: RunState
    /// Why, in one sentence, unless it succeeded.
    package var reason: String?
    package var createdAt: Timestamp
    /// When the last stage that counts ended.
    package var finishedAt: Timestamp?
    package var gate: GateDecision?
    package var stages: [Stage]
    package var links: [Link]

    /// - Parameters:
    ///   - summary: of a run that has ended.
    ///   - gate: the decision; by default the one that a stage of `summary` left behind.
    package init(
        pipeline: String, run: RunID, summary: RunSummary, gate: GateDecision? = nil, links: [Link] = []
    ) {
        self.pipeline = pipeline
        self.run = run
        outcome = summary.state
        createdAt = summary.createdAt
        finishedAt = summary.stages.compactMap(\.finishedAt).max()
        let decision = gate ?? GateDecision(of: summary)
        self.gate = decision
        // Stages that have not ended are those that tell of the run, this message's own among them.
        stages = summary.stages.filter(\.state.isTerminal).map(Stage.init)
        self.links = links
        reason = Self.reason(of: summary, gate: decision)
    }

    /// Seconds from the event to the end of the last stage.
    package var seconds: Double? {
        finishedAt.map { max(0, Double($0.microseconds - createdAt.microseconds) / 1_000_000) }
    }

    /// One line: `security-qa rejected: perplexity 812.4 is above 20.0 by 792.4`.
    package var title: String {
        let start = pipeline + " " + outcome.rawValue
        return reason.map { start + ": " + $0.singleLine(limit: 200) } ?? start
    }

    private static func reason(of summary: RunSummary, gate: GateDecision?) -> String? {
        switch summary.state {
        case .pending, .running, .succeeded: return summary.reason
        case .rejected:
            if let gate, !gate.isAccepted { return gate.failureSummary }
            return summary.reason ?? "a gate refused the model"
        case .failed:
            if let reason = summary.reason { return reason }
            guard let dead = summary.stages.first(where: { $0.state == .dead }) else { return "a stage failed" }
            return "stage \(dead.name) failed" + (dead.failure.map { ": " + $0.message } ?? "")
        case .cancelled: return summary.reason ?? "somebody cancelled it"
        }
    }
}

extension NotificationMessage.Stage {
    init(_ stage: RunSummary.Stage) {
        name = stage.name
        state = stage.state
        attempts = stage.attempts
        isCached = stage.output?.cachedFrom != nil
        if let start = stage.startedAt, let end = stage.finishedAt {
            seconds = max(0, Double(end.microseconds - start.microseconds) / 1_000_000)
        }
    }

    /// `4m 05s`, `from cache`, `not run`.
    var time: String {
        if state == .skipped { return "not run" }
        let took = seconds.map(NumberText.duration(seconds:)) ?? "?"
        return took + (isCached ? " from cache" : "") + (attempts > 1 ? " in \(attempts) attempts" : "")
    }
}

extension StringProtocol {
    /// At most `limit` characters with every run of white space and control characters as one space: a header or a
    /// title has one line, whatever a failure's message holds.
    func singleLine(limit: Int) -> String {
        let words = split { $0.isWhitespace || $0.unicodeScalars.allSatisfy { $0.value < 0x20 || $0.value == 0x7F } }
        let line = words.joined(separator: " ")
        return line.count <= limit ? line : line.prefix(limit - 1) + "…"
    }
}
