import Pipeline

/// Reads whom to tell.
struct NotifySettings {
    private let sources: SettingSources
    private(set) var notify = MartletConfiguration.Notify()

    init(_ sources: SettingSources) {
        self.sources = sources
        notify.webhooks = webhooks()
        notify.slack = slack()
        notify.smtp = smtp()
        notify.allowAddresses = sources.list(
            .allowAddresses, expected: "addresses or networks, such as 127.0.0.1 or 10.0.0.0/8",
            isValid: NetworkText.isNetwork
        )
    }

    private func webhooks() -> [MartletConfiguration.Webhook] {
        guard let node = sources.node(SettingKey.webhooks) else { return [] }
        guard case .sequence(let elements) = node.content else {
            sources.report(
                "notify.webhooks must be a list, such as [{name: on-call, url: https://…}]",
                at: sources.origin(of: node))
            return []
        }
        var seen: Set<String> = []
        return elements.compactMap { webhook($0, seen: &seen) }
    }

    private func webhook(_ node: YAMLNode, seen: inout Set<String>) -> MartletConfiguration.Webhook? {
        func report(_ message: String, _ place: YAMLNode) -> MartletConfiguration.Webhook? {
            sources.report(message, at: sources.origin(of: place))
            return nil
        }
        guard case .mapping(let members) = node.content else {
            return report("a webhook must be a mapping with name and url", node)
        }
        for member in members where !["name", "url"].contains(member.name) {
            let place = YAMLNode(content: member.value.content, position: member.position)
            if member.name == "secret" {
                return report(
                    "the secret of a webhook does not belong in this file: set MARTLET_NOTIFY_WEBHOOK_<NAME>_SECRET "
                        + "or …_SECRET_FILE", place)
            }
            let advice = Suggestion.advice(for: member.name, in: ["name", "url"], plural: "keys")
            return report("a webhook has no key \"\(member.name.prefix(80))\": \(advice)", place)
        }
        guard case .scalar(_, let name) = members.first(where: { $0.name == "name" })?.value.content,
            NameRule.isStage(name)
        else {
            return report("a webhook needs a name of lower-case letters, digits, - and _", node)
        }
        guard seen.insert(name).inserted else {
            return report("there are two webhooks named \"\(name)\": give each its own name", node)
        }
        guard let member = members.first(where: { $0.name == "url" }), case .scalar(_, let text) = member.value.content
        else {
            return report("the webhook \"\(name)\" needs a url", node)
        }
        let url = ServiceURL(text)
        if let fault = SettingSources.fault(of: url, schemes: ["https", "http"]) {
            return report("the url of the webhook \"\(name)\" \(fault)", member.value)
        }
        sources.record(
            SettingKey("notify.webhooks.\(name).url"), shown: url.description, origin: sources.origin(of: member.value))
        return MartletConfiguration.Webhook(name: name, url: url, secret: sources.secret(.webhookSecret(name)))
    }

    private func slack() -> Secret? {
        guard let secret = sources.secret(.slack), let origin = sources.value(.slack)?.origin else { return nil }
        if let fault = SettingSources.fault(of: ServiceURL(secret.value), schemes: ["https", "http"]) {
            sources.report("notify.slack \(fault)", at: origin)
            return nil
        }
        return secret
    }

    private func smtp() -> MartletConfiguration.SMTP? {
        let host = sources.text(.smtpHost)
        let port = sources.count(.smtpPort, standard: 587, in: 1...65_535)
        let security = sources.choice(.smtpSecurity, standard: MartletConfiguration.SMTP.Security.starttls)
        let username = sources.text(.smtpUsername)
        let password = sources.secret(.smtpPassword)
        let from = sources.text(.smtpFrom)
        let to = sources.list(.smtpTo, expected: "mail addresses", isValid: Self.isMail)
        guard let host else { return nil }
        let origin = sources.value(.smtpHost)?.origin ?? .standard
        guard let from, Self.isMail(from) else {
            sources.report("notify.smtp.host is set, so notify.smtp.from must be a mail address", at: origin)
            return nil
        }
        guard !to.isEmpty else {
            sources.report("notify.smtp.host is set, so notify.smtp.to must name at least one mail address", at: origin)
            return nil
        }
        return MartletConfiguration.SMTP(
            host: host, port: port, security: security, username: username, password: password, from: from, to: to)
    }

    /// Enough to keep line breaks and lists out of a mail's envelope; the server judges the rest.
    private static func isMail(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        return parts.count == 2 && parts.allSatisfy { !$0.isEmpty }
            && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") }
    }
}
