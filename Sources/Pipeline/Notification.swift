/// What somebody is told, in the words of every channel.
package protocol Notification: Sendable {
    var webhookPayload: JSONValue { get }
    var slackPayload: JSONValue { get }
    var mailSubject: String { get }
    var mailBody: String { get }
}

extension NotificationMessage: Notification {}

/// What Slack's messages are made of (https://api.slack.com/reference/block-kit/blocks).
enum SlackText {
    /// Within Slack's limit of 3,000 characters.
    static func section(_ text: String) -> JSONValue {
        let bounded = text.count <= 3_000 ? text : text.prefix(2_999) + "…"
        return .object(["type": "section", "text": .object(["type": "mrkdwn", "text": .string(bounded)])])
    }

    /// The three characters that Slack reserves (https://api.slack.com/reference/surfaces/formatting#escaping).
    static func escape(_ text: String) -> String {
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
