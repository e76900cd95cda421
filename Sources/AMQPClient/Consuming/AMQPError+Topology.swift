extension AMQPError {
    /// Names what was declared and, for a mismatch, the property, both values and the remedy.
    ///
    /// RabbitMQ says it in prose: `PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in
    /// vhost '/': received 'quorum' but current is 'classic'`.
    func declaring(_ kind: String, _ name: String) -> AMQPError {
        var error = self
        guard replyCode == 406 else {
            error.message = "cannot declare \(kind) '\(name)': \(message)"
            return error
        }
        error.isRetryable = false
        guard let argument = message.quoted(after: "inequivalent arg "),
            let received = message.word(after: "received "),
            let current = message.word(after: "but current is ")
        else {
            error.message = "cannot declare \(kind) '\(name)': \(message); correct its arguments"
            return error
        }
        error.code = .topologyMismatch
        error.message =
            "\(kind) '\(name)' exists with other properties: '\(argument)' is \(current) on the broker, wanted "
            + "\(received); either declare it with \(current), or delete the \(kind) ("
            + (kind == "queue"
                ? "after draining it: 'rabbitmqctl delete_queue \(name)'" : "in the management page, 'Exchanges'")
            + ") and start again"
        return error
    }
}

extension String {
    /// The text in single quotes that follows `prefix`.
    fileprivate func quoted(after prefix: String) -> Substring? {
        guard let range = firstRange(of: prefix + "'") else { return nil }
        let rest = self[range.upperBound...]
        return rest.firstIndex(of: "'").map { rest[..<$0] }
    }

    /// `'value'` as it stands, or the bare words (such as `none`) up to the next phrase.
    fileprivate func word(after prefix: String) -> String? {
        if let quoted = quoted(after: prefix) { return "'\(quoted)'" }
        if let quoted = quoted(after: prefix + "the value ") { return "'\(quoted)'" }
        guard let range = firstRange(of: prefix) else { return nil }
        var rest = self[range.upperBound...]
        if let end = rest.firstRange(of: " but current is") { rest = rest[..<end.lowerBound] }
        return rest.split(separator: " ").first.map(String.init)
    }
}
