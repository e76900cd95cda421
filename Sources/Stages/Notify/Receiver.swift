package import HTTPTransport

/// Somebody to tell how a run ended.
package enum Receiver: Sendable {
    /// A webhook of one's own: the body is signed when there is a secret.
    case webhook(name: String, url: String, secret: String?)
    /// An incoming webhook of Slack or of something compatible; the URL itself is a secret.
    case slack(url: String)
    case mail(server: SMTPServer, from: String, to: [String])

    /// As it is named in the ledger and in `receivers:`.
    package var name: String {
        switch self {
        case .webhook(let name, _, _): name
        case .slack: "slack"
        case .mail: "mail"
        }
    }

    /// The kind of receiver, for counting.
    var channel: String {
        switch self {
        case .webhook: "webhook"
        case .slack, .mail: name
        }
    }
}
