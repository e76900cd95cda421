/// Where a server is, perhaps with a user and a password. Prints without the password.
package struct ServiceURL: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
    /// The whole URL, password included: for the client that connects, and nothing else.
    package let value: String

    package init(_ value: String) {
        self.value = value
    }

    package var scheme: String {
        value.split(separator: ":", maxSplits: 1).first.map { $0.lowercased() } ?? ""
    }

    /// `amqp://martlet:••••••@host:5672/`; values of a query whose names speak of secrets are hidden as well.
    package var description: String {
        guard let start = value.firstRange(of: "://") else { return "••••••" }
        let rest = value[start.upperBound...]
        let query = rest.firstIndex(of: "?") ?? rest.endIndex
        var body = String(rest[..<query])
        // A password may hold a slash or an at sign that nobody escaped, so the last at sign ends it.
        if let at = body.lastIndex(of: "@"), let colon = body.firstIndex(of: ":"), colon < at {
            body = body[...colon] + "••••••" + body[at...]
        }
        return value[..<start.upperBound] + body + Self.hideQuery(rest[query...])
    }

    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }

    private static func hideQuery(_ query: Substring) -> String {
        guard !query.isEmpty else { return "" }
        let pairs = query.dropFirst().split(separator: "&", omittingEmptySubsequences: false).map { pair in
            let name = pair.prefix { $0 != "=" }
            let words = ["pass", "secret", "token", "key", "signature", "credential"]
            let isSecret = words.contains { word in name.lowercased().contains(word) }
            return isSecret ? name + "=••••••" : String(pair)
        }
        return "?" + pairs.joined(separator: "&")
    }
}
