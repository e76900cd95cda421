/// The outcome of all checks at one moment.
package struct ReadinessReport: Sendable {
    /// One check's outcome.
    package struct Entry: Sendable {
        package let name: String
        /// Nil when it passed.
        package let failure: String?
    }

    package let entries: [Entry]

    /// True when every check passed.
    package var isReady: Bool {
        entries.allSatisfy { $0.failure == nil }
    }

    /// `{"status":"ready","checks":{"redis":{"ok":true}}}`.
    package var json: [UInt8] {
        var text: [UInt8] = Array("{\"status\":\"\(isReady ? "ready" : "unready")\",\"checks\":{".utf8)
        for (index, entry) in entries.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            JSONLine.appendString(entry.name, to: &text)
            text.append(contentsOf: ":{\"ok\":\(entry.failure == nil)".utf8)
            if let failure = entry.failure {
                text.append(contentsOf: ",\"reason\":".utf8)
                JSONLine.appendString(String(Redaction.maskURLs(in: failure).prefix(500)), to: &text)
            }
            text.append(UInt8(ascii: "}"))
        }
        text.append(contentsOf: "}}\n".utf8)
        return text
    }
}
