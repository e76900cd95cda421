extension NotificationMessage {
    /// A payload for Slack's incoming webhooks (https://api.slack.com/reference/block-kit/blocks): the text is the
    /// notification's, the blocks are the message's. Within Slack's limits: 3,000 characters a section.
    package var slackPayload: JSONValue {
        var blocks: [JSONValue] = [Self.section(headline)]
        if let reason { blocks.append(Self.section("> " + Self.escape(reason.singleLine(limit: 1_500)))) }
        if let gate {
            let rules = gate.results.map { "\(Self.emoji($0.status)) \(Self.escape($0.explanation))" }
            blocks.append(
                Self.section("*Gate: \(gate.isAccepted ? "passed" : "refused")*\n" + rules.joined(separator: "\n")))
        }
        if !stages.isEmpty {
            let lines = stages.map { "\(Self.escape($0.name)): \($0.state.rawValue), \($0.time)" }
            blocks.append(Self.section("*Stages*\n" + lines.joined(separator: "\n")))
        }
        if !links.isEmpty {
            // What is no web address cannot be followed from Slack, but be copied.
            let spelled = links.map { link in
                link.url.hasPrefix("http")
                    ? "<\(Self.escape(link.url))|\(Self.escape(link.title))>"
                    : "\(Self.escape(link.title)) `\(Self.escape(link.url))`"
            }
            blocks.append(Self.section(spelled.joined(separator: "  ·  ")))
        }
        return .object(["text": .string(Self.escape(title)), "blocks": .array(blocks)])
    }

    private var headline: String {
        let took = seconds.map { " after " + NumberText.duration(seconds: $0) } ?? ""
        return "\(emoji) *\(Self.escape(pipeline))* \(outcome.rawValue)\(took) · run `\(Self.escape(run.description))`"
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

    private static func section(_ text: String) -> JSONValue {
        let bounded = text.count <= 3_000 ? text : text.prefix(2_999) + "…"
        return .object(["type": "section", "text": .object(["type": "mrkdwn", "text": .string(bounded)])])
    }

    /// The three characters that Slack reserves (https://api.slack.com/reference/surfaces/formatting#escaping).
    private static func escape(_ text: String) -> String {
        var escaped = ""
        for character in text {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
