import Foundation
import Testing

@testable import HTTPTransport

@Suite(.timeLimit(.minutes(4)))
struct TLSTests {
    @Test func theAuthorityDecides() async throws {
        try await withTemporaryFolder { folder in
            let certificates = try await Certificates.make(folder: folder)
            let peer = try await Peer.start("http_peer", [certificates.certificate, certificates.key])
            let url = "https://127.0.0.1:\(peer.port)/e"

            let trusting = makeTransport { $0.certificateAuthorityFile = certificates.authority }
            #expect(try await trusting.send(HTTPRequest(url: url)).echo().target == "/e")
            let large = try await trusting.send(
                HTTPRequest(method: "PUT", url: url, body: .bytes([UInt8](repeating: 3, count: 5 << 20))))
            #expect(try await large.echo().size == 5 << 20)

            let environment = HTTPTransportConfiguration(environment: ["SSL_CERT_FILE": certificates.authority])
            #expect(environment.certificateAuthorityFile == certificates.authority)

            let strict = makeTransport()
            let untrusted = await #expect(throws: HTTPError.self) { try await strict.send(HTTPRequest(url: url)) }
            #expect(untrusted?.code == .tls)
            #expect(untrusted?.isRetryable == false)

            let missing = makeTransport { $0.certificateAuthorityFile = folder + "/absent.pem" }
            let unread = await #expect(throws: HTTPError.self) { try await missing.send(HTTPRequest(url: url)) }
            #expect(unread?.code == .tls)

            let plain = try await Peer.start("http_peer")
            let mail = try await Peer.start("smtp_peer", [folder + "/out", "plain"])
            let noTLS = await #expect(throws: HTTPError.self) {
                try await trusting.send(HTTPRequest(url: "https://127.0.0.1:\(mail.port)/e", retry: .none))
            }
            #expect(noTLS?.code == .tls)

            let downgrade = await #expect(throws: HTTPError.self) {
                try await trusting.send(
                    HTTPRequest(
                        url: "https://127.0.0.1:\(peer.port)/redirect?to=\(plain.url)/e", maximumRedirects: 1))
            }
            #expect(downgrade?.code == .redirectRefused)

            let tunnelled = try await trusting.send(
                HTTPRequest(url: url, proxy: HTTPProxy(https: "http://127.0.0.1:\(plain.port)"))
            )
            #expect(tunnelled.headers["x-proxy"] == nil)
            #expect(try await tunnelled.echo().target == "/e")
            #expect(try await plain.count("connect 127.0.0.1:\(peer.port)".replacing(" ", with: "%20")) == 1)
            for transport in [trusting, strict, missing] { await transport.close() }
        }
    }
}
