/// What is told of a rollout that has ended.
package struct RolloutNotice: Hashable, Notification {
    private let rollout: Rollout

    /// - Parameter rollout: one that has ended.
    package init(_ rollout: Rollout) {
        self.rollout = rollout
    }

    /// One line: `security-qa: version 7 rolled back: errors 0.31 against 0.01`.
    package var title: String {
        let what =
            switch rollout.state {
            case .promoted: "is the champion"
            case .rolledBack: "rolled back"
            case .aborted: "aborted"
            case .running: "is rolled out"
            case .paused: "paused"
            }
        let start = "\(rollout.model): version \(rollout.candidate) \(what)"
        return rollout.reason.map { "\(start): \($0.singleLine(limit: 200))" } ?? start
    }

    /// The body of a webhook. Members are only ever added to version 1; absent values are null.
    package var webhookPayload: JSONValue {
        .object([
            "type": "dev.martlet.rollout.ended.v1", "rollout": .string(rollout.id), "model": .string(rollout.model),
            "version": .string(rollout.candidate), "baseline": .string(rollout.baseline),
            "outcome": .string(rollout.state.rawValue), "reason": rollout.reason.map { .string($0) } ?? .null,
            "started_at": .string(rollout.startedAt.description),
            "finished_at": rollout.finishedAt.map { .string($0.description) } ?? .null,
            "share": .double(rollout.reached), "links": .array([["title": "Model version", "url": .string(link)]]),
        ])
    }

    package var slackPayload: JSONValue {
        let emoji = rollout.state == .promoted ? ":white_check_mark:" : ":leftwards_arrow_with_hook:"
        return .object([
            "text": .string(SlackText.escape(title)),
            "blocks": .array([
                SlackText.section("\(emoji) *\(SlackText.escape(title))*"),
                SlackText.section(SlackText.escape(details.joined(separator: "\n"))),
            ]),
        ])
    }

    package var mailSubject: String { ("[martlet] " + title).singleLine(limit: 180) }

    package var mailBody: String {
        ([title, ""] + details + ["", "The evidence: martlet rollout status \(rollout.model)"])
            .joined(separator: "\n") + "\n"
    }

    private var details: [String] {
        var lines = [
            "Rollout   \(rollout.id)",
            "Outcome   \(rollout.state.rawValue) at \(NumberText.short(rollout.reached * 100)) %",
            "Instead   version \(rollout.baseline)", "Started   \(rollout.startedAt)",
        ]
        if let end = rollout.finishedAt {
            let seconds = Double(end.microseconds - rollout.startedAt.microseconds) / 1_000_000
            lines.append("Duration  \(NumberText.duration(seconds: max(0, seconds)))")
        }
        lines.append("Version   \(link)")
        return lines
    }

    private var link: String { "models:/\(rollout.model)/\(rollout.candidate)" }
}
