import Foundation
import Testing

@testable import HTTPTransport

/// Redirects, proxies and address policies.
@Suite(.timeLimit(.minutes(4)))
struct RoutingTests {
    let peer: Peer
    let other: Peer
    let transport = makeTransport()

    init() async throws {
        peer = try await Peer.shared()
        other = try await Peer.second()
    }

    private let credentials = [
        HTTPHeader("Authorization", "Bearer secret"), HTTPHeader("Cookie", "a=b"), HTTPHeader("X-Api-Key", "secret"),
        HTTPHeader("Accept", "text/plain"),
    ]

    // MARK: Redirects

    @Test func redirectsAreHandedOverUnlessAskedFor() async throws {
        let response = try await transport.send(HTTPRequest(url: peer.url + "/redirect?to=/e"))
        #expect(response.status == 302)
        #expect(response.headers["location"] == "/e")
    }

    @Test func credentialsStayWithTheirOrigin() async throws {
        let same = try await transport.send(
            HTTPRequest(url: peer.url + "/redirect?to=/e%3Fx=1", headers: credentials, maximumRedirects: 3)
        ).echo()
        #expect(same.target == "/e?x=1")
        #expect(same.header("authorization") == "Bearer secret")

        let userInfo = "http://user:secret@127.0.0.1:\(peer.port)"
        let foreign = try await transport.send(
            HTTPRequest(url: userInfo + "/redirect?to=\(other.url)/e", headers: credentials, maximumRedirects: 3)
        ).echo()
        #expect(foreign.header("authorization") == nil)
        #expect(foreign.header("cookie") == nil)
        #expect(foreign.header("x-api-key") == nil)
        #expect(foreign.header("accept") == "text/plain")
    }

    @Test(arguments: [(301, "GET", 0), (302, "GET", 0), (303, "GET", 0), (307, "POST", 3), (308, "POST", 3)])
    func aPostBecomesWhatTheStatusSays(status: Int, method: String, size: Int) async throws {
        let echo = try await transport.send(
            HTTPRequest(
                method: "POST", url: peer.url + "/redirect?status=\(status)&to=/e", body: .bytes([1, 2, 3]),
                maximumRedirects: 1)
        ).echo()
        #expect(echo.method == method)
        #expect(echo.size == size)
    }

    @Test func aRoundOfRedirectsEnds() async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(
                HTTPRequest(
                    url: peer.url + "/redirect?key=round&to=/redirect%3Fto=/redirect%3Fto=x", maximumRedirects: 1))
        }
        #expect(error?.code == .tooManyRedirects)
    }

    @Test(arguments: ["file:///etc/passwd", "gopher://127.0.0.1:70/x", "ftp://127.0.0.1/"])
    func redirectsLeadToHTTPOnly(target: String) async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(HTTPRequest(url: peer.url + "/redirect?to=\(target)", maximumRedirects: 5))
        }
        #expect(error?.code == .invalidRequest)
    }

    // MARK: Address policy

    @Test(arguments: ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"])
    func ourselvesAreRefusedUnderEveryName(host: String) async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(
                HTTPRequest(url: "http://\(host):\(peer.port)/e?key=refused", addressPolicy: .publicOnly()))
        }
        #expect(error?.code == .addressRefused, "\(error.map(String.init(describing:)) ?? "none")")
        #expect(try await peer.count("refused") == 0)
    }

    @Test func aPooledConnectionIsCheckedToo() async throws {
        let url = "http://localhost:\(peer.port)/e?key=pooled"
        #expect(try await transport.send(HTTPRequest(url: url)).echo().count == 1)
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(HTTPRequest(url: url, addressPolicy: .publicOnly()))
        }
        #expect(error?.code == .addressRefused)
        #expect(error?.message.contains("localhost") == true)
        #expect(try await peer.count("pooled") == 1)
    }

    @Test func aRedirectIsCheckedAndExceptionsHold() async throws {
        let url = "http://localhost:\(peer.port)/redirect?to=http://127.0.0.1:\(other.port)/e"
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(
                HTTPRequest(url: url, maximumRedirects: 3, addressPolicy: .publicOnly(allowing: ["localhost"])))
        }
        #expect(error?.code == .addressRefused)
        let allowed = try await transport.send(
            HTTPRequest(
                url: url, maximumRedirects: 3, addressPolicy: .publicOnly(allowing: ["localhost", "127.0.0.0/8"])))
        #expect(allowed.status == 200)
    }

    // MARK: Proxies

    @Test func theProxyIsUsedAndItsExceptionsAreNot() async throws {
        let transport = makeTransport {
            $0.proxy = HTTPProxy(environment: ["http_proxy": other.url, "no_proxy": "127.0.0.1, .direct.example"])
        }
        let proxied = try await transport.send(HTTPRequest(url: "http://somewhere.invalid/x?y=1"))
        #expect(try await proxied.text().contains("\"proxied\": \"http://somewhere.invalid/x?y=1\""))
        let direct = try await transport.send(HTTPRequest(url: peer.url + "/e")).echo()
        #expect(direct.target == "/e")
        let overridden = try await transport.send(
            HTTPRequest(
                url: "http://somewhere.invalid/", timeouts: HTTPTimeouts(connect: .seconds(3)),
                proxy: HTTPProxy(http: peer.url)))
        #expect(try await overridden.text().contains("proxied"))
        await transport.close()
    }

    @Test(arguments: ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
    func aProxyIsNoWayAroundTheAddressPolicy(host: String) async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(
                HTTPRequest(
                    url: "http://\(host)/?key=proxied", proxy: HTTPProxy(http: other.url), addressPolicy: .publicOnly())
            )
        }
        #expect(error?.code == .addressRefused)
        #expect(try await other.count("proxied") == 0)
    }

    @Test func aDeadProxyIsAnErrorWithoutItsPassword() async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(
                HTTPRequest(
                    url: "http://somewhere.invalid/", retry: .none,
                    proxy: HTTPProxy(http: "http://user:hidden@127.0.0.1:1")))
        }
        #expect(error?.code == .connectFailed)
        #expect(!String(describing: error).contains("hidden"))
    }
}
