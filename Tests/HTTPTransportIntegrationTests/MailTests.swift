import Foundation
import Testing

@testable import HTTPTransport

@Suite(.timeLimit(.minutes(4)))
struct MailTests {
    struct Taken: Decodable {
        let recipients: [String]
        let login: [String]?
        let ehlo: String
        let from: String
        let raw: String
        let secure: Bool
    }

    private let message = SMTPMessage(
        from: .init("martlet@example.com", name: "Märtlet, the \"swift\""),
        to: [.init("a@example.com"), .init("b@example.com", name: "B")], cc: [.init("a@example.com")],
        subject: "Lauf gelungen ✓ – mit einem sehr langen Betreff, der über eine Zeile hinausgeht",
        text: ".\n..two dots\nFrom here\r\nümlaut = \(String(repeating: "x", count: 200)) \nend", html: "<p>ok</p>")

    private func taken(_ path: String) throws -> Taken {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        return try JSONDecoder().decode(Taken.self, from: Data(text.utf8))
    }

    /// What Python's own parser makes of the mail: an opinion that is not ours.
    private func parsed(_ raw: String, folder: String) async throws -> [String: String] {
        let script = """
            import email, email.policy, json, sys
            m = email.message_from_bytes(open(sys.argv[1], "rb").read(), policy=email.policy.default)
            print(json.dumps({"subject": m["subject"], "from": str(m["from"]), "to": str(m["to"]), "date": m["date"],
              "text": m.get_body(("plain",)).get_content(), "html": m.get_body(("html",)).get_content(),
              "defects": str([d for p in m.walk() for d in p.defects])}))
            """
        let path = folder + "/mail"
        try Data(raw.unicodeScalars.map { UInt8($0.value) }).write(to: URL(fileURLWithPath: path))
        let data = try await offPool {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["python3", "-c", script, path]
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let data = output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return data
        }
        return try JSONDecoder().decode([String: String].self, from: data)
    }

    @Test func aMailArrivesAsItWasWritten() async throws {
        try await withTemporaryFolder { folder in
            let peer = try await Peer.start("smtp_peer", [folder + "/out", "plain"])
            let transport = makeTransport()
            try await transport.sendMail(
                message, server: SMTPServer(host: "127.0.0.1", port: peer.port, security: .none, clientName: "me.local")
            )
            let taken = try taken(folder + "/out")
            #expect(taken.ehlo == "me.local")
            #expect(taken.from.hasPrefix("MAIL FROM:<martlet@example.com>"))
            #expect(taken.recipients == ["RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>"])
            #expect(!taken.secure && taken.login == nil)
            // The peer keeps the stuffing, as it is on the wire.
            let raw = taken.raw.replacing("\r\n..", with: "\r\n.")
            #expect(raw.unicodeScalars.allSatisfy { $0.value < 128 })
            #expect(raw.components(separatedBy: "\r\n").allSatisfy { $0.utf8.count <= 78 && !$0.contains("\n") })
            let parsed = try await parsed(raw, folder: folder)
            #expect(parsed["subject"] == message.subject)
            #expect(parsed["from"] == "\"Märtlet, the \\\"swift\\\"\" <martlet@example.com>")
            #expect(parsed["to"] == "a@example.com, B <b@example.com>")
            #expect(parsed["text"]?.replacing("\r\n", with: "\n") == message.text.replacing("\r\n", with: "\n"))
            #expect(parsed["html"] == "<p>ok</p>")
            #expect(parsed["defects"] == "[]")
            await transport.close()
        }
    }

    @Test(arguments: ["starttls", "tls"])
    func loginsGoOverTLS(mode: String) async throws {
        try await withTemporaryFolder { folder in
            let certificates = try await Certificates.make(folder: folder)
            let peer = try await Peer.start(
                "smtp_peer", [folder + "/out", mode, certificates.certificate, certificates.key])
            let transport = makeTransport { $0.certificateAuthorityFile = certificates.authority }
            var server = SMTPServer(
                host: "127.0.0.1", port: peer.port, security: mode == "tls" ? .tls : .requiredStartTLS,
                username: "user", password: "right")
            try await transport.sendMail(message, server: server)
            let taken = try taken(folder + "/out")
            #expect(taken.secure)
            #expect(taken.login == ["user", "right"])

            server.password = "wrong-secret"
            let refused = await #expect(throws: HTTPError.self) {
                try await transport.sendMail(message, server: server)
            }
            #expect(refused?.code == .mailLoginFailed)
            #expect(!String(describing: refused).contains("wrong-secret"))

            let distrusting = makeTransport()
            let untrusted = await #expect(throws: HTTPError.self) {
                try await distrusting.sendMail(message, server: server)
            }
            #expect(untrusted?.code == .tls, "\(String(describing: untrusted))")
            await transport.close()
            await distrusting.close()
        }
    }

    @Test func refusalsAreQuotedAndClassified() async throws {
        try await withTemporaryFolder { folder in
            let peer = try await Peer.start("smtp_peer", [folder + "/out", "plain"])
            let transport = makeTransport()
            let server = SMTPServer(host: "127.0.0.1", port: peer.port, security: .none)
            for (address, isRetryable, reply) in [
                ("nobody@example.com", false, "5.1.1"), ("later@example.com", true, "4.3.0"),
            ] {
                var message = message
                message.to = [.init(address)]
                let error = await #expect(throws: HTTPError.self) {
                    try await transport.sendMail(message, server: server)
                }
                #expect(error?.code == .mailRejected)
                #expect(error?.isRetryable == isRetryable)
                #expect(error?.message.contains(reply) == true)
            }
            let required = await #expect(throws: HTTPError.self) {
                try await transport.sendMail(
                    message, server: SMTPServer(host: "127.0.0.1", port: peer.port, security: .requiredStartTLS))
            }
            #expect(required?.code == .tls)
            try await transport.sendMail(
                message, server: SMTPServer(host: "127.0.0.1", port: peer.port, security: .opportunisticStartTLS))
            let exposed = await #expect(throws: HTTPError.self) {
                try await transport.sendMail(
                    message,
                    server: SMTPServer(
                        host: "127.0.0.1", port: peer.port, security: .opportunisticStartTLS, username: "u",
                        password: "right"))
            }
            #expect(exposed?.code == .invalidRequest)
            let policy = await #expect(throws: HTTPError.self) {
                try await transport.sendMail(
                    message,
                    server: SMTPServer(
                        host: "127.0.0.1", port: peer.port, security: .none, addressPolicy: .publicOnly()))
            }
            #expect(policy?.code == .addressRefused)
            await transport.close()
        }
    }

    @Test func aSilentServerIsATimeout() async throws {
        let peer = try await Peer.start("http_peer")
        let transport = makeTransport()
        let error = await #expect(throws: HTTPError.self) {
            try await transport.sendMail(
                message,
                server: SMTPServer(
                    host: "127.0.0.1", port: peer.port, security: .none,
                    timeouts: HTTPTimeouts(connect: .milliseconds(400))))
        }
        #expect(error?.code == .connectTimeout)
        await transport.close()
    }
}
