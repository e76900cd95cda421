import Configuration
import HTTPTransport
import NotifyStage

/// Whom the settings say to tell.
enum Receivers {
    static func from(_ settings: MartletConfiguration) -> [Receiver] {
        var receivers = settings.notify.webhooks.map { webhook in
            Receiver.webhook(name: webhook.name, url: webhook.url.value, secret: webhook.secret?.value)
        }
        if let slack = settings.notify.slack { receivers.append(.slack(url: slack.value)) }
        if let smtp = settings.notify.smtp {
            let security: SMTPServer.Security =
                switch smtp.security {
                case .starttls: .requiredStartTLS
                case .tls: .tls
                case .none: .none
                }
            receivers.append(
                .mail(
                    server: SMTPServer(
                        host: smtp.host, port: smtp.port, security: security, username: smtp.username,
                        password: smtp.password?.value),
                    from: smtp.from, to: smtp.to))
        }
        return receivers
    }
}
