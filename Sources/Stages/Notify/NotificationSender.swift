package import HTTPTransport
package import Pipeline
import StageSupport
import WorkerRuntime

/// Tells receivers, each in its own words.
package struct NotificationSender: Sendable {
    private let transport: HTTPTransport
    private let addressPolicy: HTTPAddressPolicy

    package init(transport: HTTPTransport, addressPolicy: HTTPAddressPolicy) {
        self.transport = transport
        self.addressPolicy = addressPolicy
    }

    /// - Parameter key: the same for a second try, so that a receiver can know it.
    /// - Returns: what the receiver said.
    /// - Throws: what is `FailureConvertible`.
    package func tell(_ receiver: Receiver, _ message: some Notification, key: String) async throws -> JSONValue {
        switch receiver {
        case .webhook(_, let url, let secret):
            // The signature covers the body and not the headers, so the key is there too.
            var members = message.webhookPayload.objectValue ?? [:]
            members["idempotency_key"] = .string(key)
            let body = Array(JSONValue.object(members).canonicalJSON.utf8)
            let timestamp = Timestamp.now.microseconds / 1_000_000
            var headers = [
                HTTPHeader("Content-Type", "application/json"), HTTPHeader("Idempotency-Key", key),
                HTTPHeader("X-Martlet-Timestamp", String(timestamp)),
            ]
            if let secret {
                headers.append(
                    HTTPHeader(
                        "X-Martlet-Signature",
                        WebhookSignature.header(secret: secret, timestamp: timestamp, body: body)))
            }
            let status = try await post(url, headers, body, hidesPath: false)
            return .object(["status": .int(status), "signed": .bool(secret != nil)])
        case .slack(let url):
            let body = Array(message.slackPayload.canonicalJSON.utf8)
            let status = try await post(
                url, [HTTPHeader("Content-Type", "application/json")], body, hidesPath: true)
            return .object(["status": .int(status)])
        case .mail(let server, let from, let to):
            var server = server
            server.addressPolicy = addressPolicy
            let mail = SMTPMessage(
                from: .init(from), to: to.map { .init($0) }, subject: message.mailSubject, text: message.mailBody,
                date: Timestamp.now.microseconds / 1_000_000, messageID: nil,
                headers: [HTTPHeader("X-Martlet-Idempotency-Key", key)])
            try await transport.sendMail(mail, server: server)
            return .object(["accepted_by": .string(server.host)])
        }
    }

    private func post(
        _ url: String, _ headers: [HTTPHeader], _ body: [UInt8], hidesPath: Bool
    ) async throws -> Int64 {
        let request = HTTPRequest(
            method: "POST", url: url, headers: headers, body: .bytes(body),
            timeouts: HTTPTimeouts(
                connect: .seconds(5), firstByte: .seconds(15), idle: .seconds(15), total: .seconds(30)),
            // The idempotency key makes it safe to repeat.
            retry: HTTPRetryPolicy(maximumAttempts: 2, isSafeToRepeat: true), addressPolicy: addressPolicy,
            hidesPath: hidesPath)
        let response = try await transport.send(request)
        let answer = try await response.body.collect(upTo: 64 << 10)
        guard (200..<300).contains(response.status) else {
            let isTemporary = response.status >= 500 || response.status == 429 || response.status == 408
            throw StageFailure(
                isTemporary ? .retryable : .permanent, "notify.refused",
                "the receiver answered HTTP \(response.status): \(String(decoding: answer.prefix(200), as: UTF8.self))")
        }
        return Int64(response.status)
    }
}
