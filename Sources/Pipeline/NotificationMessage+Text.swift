extension NotificationMessage {
    /// For mail and terminals.
    package var plainText: String {
        var lines = [title, ""]
        lines.append("Run       \(run)")
        lines.append("Outcome   \(outcome.rawValue)")
        if let reason { lines.append("Reason    \(reason.singleLine(limit: 2_000))") }
        lines.append("Started   \(createdAt)")
        if let seconds { lines.append("Duration  \(NumberText.duration(seconds: seconds))") }
        if let gate {
            lines += ["", "Gate: \(gate.isAccepted ? "passed" : "refused")"]
            lines += gate.results.map { "  \(Self.mark($0.status))  \($0.explanation)" }
        }
        if !stages.isEmpty {
            let width = stages.map(\.name.count).max() ?? 0
            lines += ["", "Stages:"]
            lines += stages.map { stage in
                let padding = String(repeating: " ", count: width - stage.name.count)
                return "  \(stage.name)\(padding)  \(stage.state.rawValue), \(stage.time)"
            }
        }
        if !links.isEmpty {
            lines += [""] + links.map { "\($0.title): \($0.url)" }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    package var mailSubject: String {
        // Mail headers are limited to 998 octets a line (RFC 5322 §2.1.1).
        ("[martlet] " + title).singleLine(limit: 180)
    }

    package var mailBody: String { plainText }

    private static func mark(_ status: GateResult.Status) -> String {
        switch status {
        case .passed: "ok  "
        case .failed: "FAIL"
        case .notApplicable: "n/a "
        }
    }
}
