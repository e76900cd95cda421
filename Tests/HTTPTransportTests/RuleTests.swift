import Testing

@testable import HTTPTransport

/// The pure rules: limits, retries, redirects, proxies, admission.
@Suite struct RuleTests {
    private let start = ContinuousClock.now

    @Test func eachPhaseHasItsLimit() throws {
        let limits = HTTPTimeouts(
            connect: .seconds(1), firstByte: .seconds(2), idle: .seconds(3), total: .seconds(100))
        var clock = TransferClock(timeouts: limits, deadline: start + .seconds(100), now: start)
        func expiry(_ phase: TransferClock.Phase, _ progress: Int64, _ seconds: Double) -> TransferClock.Expiry? {
            guard
                case .failure(let error) = clock.check(phase: phase, progress: progress, now: start + .seconds(seconds))
            else { return nil }
            return error.expiry
        }
        #expect(expiry(.connecting, 0, 0.9) == nil)
        #expect(expiry(.connecting, 0, 1) == .connect)
        clock.noteConnected(at: start + .seconds(1))
        #expect(expiry(.moving, 5, 2) == nil)
        #expect(expiry(.moving, 5, 4.9) == nil)
        #expect(expiry(.moving, 5, 5) == .idle)
        #expect(expiry(.awaitingHead, 5, 6) == nil)
        #expect(expiry(.awaitingHead, 5, 8) == .firstByte)
        #expect(expiry(.waitingForUs, 5, 50) == nil)
        #expect(expiry(.moving, 5, 52) == nil)
        #expect(expiry(.moving, 5, 100) == .total)
    }

    @Test func pausesDoubleWithinTheirBound() {
        let policy = HTTPRetryPolicy(baseDelay: .milliseconds(100), maximumDelay: .milliseconds(350))
        #expect(policy.pause(beforeAttempt: 2, random: 0) == .milliseconds(50))
        #expect(policy.pause(beforeAttempt: 3, random: 1) == .milliseconds(200))
        #expect(policy.pause(beforeAttempt: 4, random: 1) == .milliseconds(350))
        #expect(policy.pause(beforeAttempt: 4000, random: 1) == .milliseconds(350))
    }

    @Test func onlyIdempotentMethodsRepeat() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            #expect(HTTPRetryPolicy.standard.allowsRepeating(method: method))
        }
        for method in ["POST", "PATCH", "get"] {
            #expect(!HTTPRetryPolicy.standard.allowsRepeating(method: method))
            #expect(HTTPRetryPolicy(isSafeToRepeat: true).allowsRepeating(method: method))
        }
    }

    @Test(arguments: [
        ("30", Int64(30)), ("0", 0), ("-1", nil), ("soon", nil), ("Wed, 21 Oct 2026 07:28:00 GMT", 60),
        ("Wed, 21 Oct 2026 07:26:00 GMT", 0),
    ])
    func retryAfterIsANumberOrADate(value: String, seconds: Int64?) {
        let headers = [HTTPHeader("retry-after", value), HTTPHeader("Date", "Wed, 21 Oct 2026 07:27:00 GMT")]
        #expect(RetryAfter.seconds(HTTPHeaders(headers)) == seconds)
    }

    @Test func theProxyFollowsTheEnvironment() {
        let proxy = HTTPProxy(environment: [
            "http_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2", "HTTP_PROXY": "http://evil:3",
            "no_proxy": "localhost,.example.com,10.0.0.0/8 ::1",
        ])
        #expect(proxy.proxy(scheme: "http", host: "x.org") == "http://a:1")
        #expect(proxy.proxy(scheme: "https", host: "x.org") == "http://b:2")
        for host in ["localhost", "EXAMPLE.com", "a.example.com", "10.9.8.7", "[::1]"] {
            #expect(proxy.proxy(scheme: "http", host: host) == nil, "\(host)")
        }
        for host in ["notexample.com", "11.0.0.1", "10.evil.org"] {
            #expect(proxy.proxy(scheme: "http", host: host) != nil, "\(host)")
        }
        #expect(HTTPProxy(environment: ["HTTP_PROXY": "http://evil:3"]).proxy(scheme: "http", host: "x") == nil)
        #expect(
            HTTPProxy(environment: ["all_proxy": "http://a", "no_proxy": "*"]).proxy(scheme: "http", host: "x") == nil)
    }

    @Test func admissionIsFairWithinItsLimits() {
        var admission = Admission(limit: 3, limitPerOrigin: 2)
        let ids = (0..<6).map { TransferID(number: $0) }
        func enter(_ id: TransferID, _ origin: String) -> Bool { admission.enter(id, origin: origin) }
        func leave(_ id: TransferID) -> [TransferID] { admission.leave(id) }
        #expect(enter(ids[0], "a"))
        #expect(enter(ids[1], "a"))
        #expect(!enter(ids[2], "a"))
        #expect(enter(ids[3], "b"))
        #expect(!enter(ids[4], "b"))
        #expect(!enter(ids[5], "a"))
        #expect(leave(ids[3]) == [ids[4]])
        #expect(leave(ids[2]).isEmpty, "one that gave up waiting frees nothing")
        #expect(leave(ids[0]) == [ids[5]])
        #expect(leave(ids[0]).isEmpty)
    }

    @Test(arguments: [
        ("http://user:pw@host:81/a/../b?secret#f", "http://host:81/a/../b"), ("https://h/", "https://h/"),
        ("http://[::1]:8080/x?y", "http://[::1]:8080/x"),
    ])
    func displayedURLsHoldNoSecret(url: String, shown: String) throws {
        let parsed = try CurlURL(url)
        #expect(parsed.display(hidesPath: false) == shown)
        #expect(parsed.whole == url)
        #expect(try CurlURL("http://h/secret").display(hidesPath: true) == "http://h")
    }

    @Test func aRedirectLeavesCredentialsBehind() throws {
        let request = HTTPRequest(
            method: "PUT", url: "https://a/x", headers: [HTTPHeader("AUTHORIZATION", "1"), HTTPHeader("Range", "2")],
            body: .bytes([1]))
        let from = try CurlURL("https://a/x")
        for target in ["https://a:444/x", "https://b/x", "https://a.b/x"] {
            let next = RedirectRule.next(request, from: from, to: try CurlURL(target), status: 307)
            #expect(next.headers == [HTTPHeader("Range", "2")])
            #expect(next.method == "PUT")
        }
        let same = RedirectRule.next(request, from: from, to: try CurlURL("https://a:443/y"), status: 303)
        #expect(same.headers.count == 2)
        #expect(same.method == "GET")
    }
}
