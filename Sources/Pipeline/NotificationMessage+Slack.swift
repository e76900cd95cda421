extension NotificationMessage {
    /// A payload for Slack's incoming webhooks (https://api.slack.com/reference/block-kit/blocks): the text is the
    /// notification's, the blocks are the message's. Within Slack's limits: 3,000 characters a section.
    package var slackPayload: JSONValue {
        var blocks: [JSONValue] = [SlackText.section(headline)]
        if let reason { blocks.append(SlackText.section("> " + SlackText.escape(reason.singleLine(limit: 1_500)))) }
        if let gate {
            let rules = gate.results.map { "\(Self.emoji($0.status)) \(SlackText.escape($0.explanation))" }
            blocks.append(
                SlackText.section("*Gate: \(gate.isAccepted ? "passed" : "refused")*\n" + rules.joined(separator: "\n"))
            )
        }
        if !stages.isEmpty {
            let lines = stages.map { "\(SlackText.escape($0.name)): \($0.state.rawValue), \($0.time)" }
            blocks.append(SlackText.section("*Stages*\n" + lines.joined(separator: "\n")))
        }
        if !links.isEmpty {
            // What is no web address cannot be followed from Slack, but be copied.
            let spelled = links.map { link in
                link.url.hasPrefix("http")
                    ? "<\(SlackText.escape(link.url))|\(SlackText.escape(link.title))>"
                    : "\(SlackText.escape(link.title)) `\(SlackText.escape(link.url))`"
            }
            blocks.append(SlackText.section(spelled.joined(separator: "  ·  ")))
        }
        return .object(["text": .string(SlackText.escape(title)), "blocks": .array(blocks)])
    }

    private var headline: String {
        let took = seconds.map { " after " + NumberText.duration(seconds: $0) } ?? ""
        return
            "\(emoji) *\(SlackText.escape(pipeline))* \(outcome.rawValue)\(took) · run `\(SlackText.escape(run.description))`"
    }

    private var emoji: String {
        switch outcome {
        case .succeeded: ":white_check_mark:"
        case .rejected: ":no_entry:"
        case .failed: ":x:"
        case .cancelled: ":black_square_for_stop:"
        case .pending, .running: ":hourglass:"
        }
    }

    private static func emoji(_ status: GateResult.Status) -> String {
        switch status {
        case .passed: ":white_check_mark:"
        case .failed: ":x:"
        case .notApplicable: ":heavy_minus_sign:"
        }
    }
}
