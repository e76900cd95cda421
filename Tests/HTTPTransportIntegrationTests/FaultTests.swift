import Foundation
import Testing

@testable import HTTPTransport

@Suite(.serialized, .timeLimit(.minutes(4)))
struct FaultTests {
    let peer: Peer
    let transport = makeTransport()

    init() async throws {
        peer = try await Peer.shared()
    }

    private func failure(
        _ request: HTTPRequest, sourceLocation: SourceLocation = #_sourceLocation
    ) async -> HTTPError? {
        await #expect(throws: HTTPError.self, sourceLocation: sourceLocation) {
            try await transport.send(request).body.collect(upTo: 1 << 20)
        }
    }

    // MARK: Time limits

    @Test func noAnswerIsAFirstByteTimeout() async throws {
        let started = ContinuousClock.now
        let error = await failure(
            HTTPRequest(
                url: peer.url + "/slow-head?s=20&key=first", timeouts: HTTPTimeouts(firstByte: .milliseconds(400))))
        #expect(error?.code == .firstByteTimeout)
        #expect(error?.isRetryable == true)
        #expect((.milliseconds(390)...(.seconds(10))).contains(.now - started))
        #expect(try await peer.count("first") == 1, "a limit that passed is not tried again")
    }

    @Test func aStalledAnswerIsAnIdleTimeoutAfterItsFirstBytes() async throws {
        let response = try await transport.send(
            HTTPRequest(url: peer.url + "/stall", timeouts: HTTPTimeouts(idle: .milliseconds(400))))
        var iterator = response.body.makeAsyncIterator()
        #expect(try await iterator.next() == Array("0123456789".utf8))
        let error = await #expect(throws: HTTPError.self) { try await iterator.next() }
        #expect(error?.code == .idleTimeout)
    }

    @Test func aServerThatReadsNothingIsAnIdleTimeout() async throws {
        let started = ContinuousClock.now
        let error = await failure(
            HTTPRequest(
                method: "PUT", url: peer.url + "/unread",
                body: .stream(length: nil) { Chunks(count: 1000, chunk: [UInt8](repeating: 0, count: 1 << 20)) },
                timeouts: HTTPTimeouts(firstByte: .seconds(30), idle: .milliseconds(500))))
        #expect(error?.code == .idleTimeout)
        #expect(.now - started < .seconds(20), "neither the limit for the first byte, 30 s, nor the peer ended it")
    }

    @Test func slowProgressIsNotIdleness() async throws {
        let limits = HTTPTimeouts(firstByte: .seconds(5), idle: .seconds(5))
        async let drip = transport.send(HTTPRequest(url: peer.url + "/drip?n=32&s=0.2", timeouts: limits)).text().count
        // Reads of 1 MiB with pauses take 6.4 s in all. What is in the peer's receive buffer, which is small, counts as sent.
        let upload = try await transport.send(
            HTTPRequest(
                method: "PUT", url: peer.url + "/slow-read?s=0.2",
                body: .bytes([UInt8](repeating: 1, count: 32 << 20)), timeouts: limits))
        #expect(upload.status == 200)
        #expect(try await drip == 32)
    }

    @Test func aSlowConsumerIsNotThePeersFault() async throws {
        let transport = makeTransport { $0.streamBufferSize = 64 << 10 }
        let response = try await transport.send(
            HTTPRequest(url: peer.url + "/bytes?n=50000000", timeouts: HTTPTimeouts(idle: .seconds(2))))
        // The pause under test, not a wait for luck: twice the limit.
        try await Task.sleep(for: .seconds(4))
        #expect(try await response.body.collect(upTo: 50_000_000).count == 50_000_000)
        await transport.close()
    }

    @Test func theTotalCoversBodyRetriesAndPauses() async throws {
        #expect(
            await failure(
                HTTPRequest(
                    url: peer.url + "/drip?n=100&s=0.1", timeouts: HTTPTimeouts(total: .milliseconds(700))))?.code
                == .totalTimeout)
        let started = ContinuousClock.now
        let refused = try await transport.send(
            HTTPRequest(
                url: peer.url + "/flaky?key=total&status=503&times=100&after=20",
                timeouts: HTTPTimeouts(total: .seconds(10)), retry: HTTPRetryPolicy(maximumAttempts: 10)))
        #expect(refused.status == 503)
        #expect(.now - started < .seconds(15), "the pause would have outlasted the limit")
    }

    @Test func anUnreachableAddressIsAConnectTimeout() async throws {
        let listener = try FullListener()
        let error = await failure(
            HTTPRequest(
                url: "http://127.0.0.1:\(listener.port)/", timeouts: HTTPTimeouts(connect: .milliseconds(300)),
                retry: .none))
        #expect(error?.code == .connectTimeout)
    }

    // MARK: Broken answers

    @Test(arguments: [
        ("/truncated", HTTPError.Code.truncatedBody), ("/truncated-chunk", .truncatedBody),
        ("/reset-mid", .connectionLost), ("/endless-headers", .headersTooLarge),
        ("/many-headers?n=500", .headersTooLarge),
        ("/garbage", .protocolViolation),
    ])
    func aBrokenAnswerHasAnErrorOfItsOwn(path: String, expected: HTTPError.Code) async throws {
        let error = await failure(HTTPRequest(url: peer.url + path))
        #expect(error?.code == expected, "\(error.map(String.init(describing:)) ?? "none")")
    }

    @Test func aRefusedConnectionIsRetriedAndNamed() async throws {
        let error = await failure(
            HTTPRequest(
                url: "http://user:secret@127.0.0.1:1/path?token=hidden",
                retry: HTTPRetryPolicy(baseDelay: .milliseconds(5))))
        #expect(error?.code == .connectFailed)
        let text = try #require(error.map(String.init(describing:)))
        #expect(text.contains("http://127.0.0.1:1/path"))
        #expect(!text.contains("secret") && !text.contains("hidden"))
    }

    @Test func anEarlyRefusalOfALargeBodyIsAnAnswer() async throws {
        let response = try await transport.send(
            HTTPRequest(
                method: "PUT", url: peer.url + "/early",
                body: .stream(length: nil) { Chunks(count: 200, chunk: [UInt8](repeating: 0, count: 1 << 20)) }))
        #expect(response.status == 413)
        #expect(try await response.text() == "too large")
    }

    // MARK: Retries

    @Test(arguments: ["GET", "PUT", "DELETE"])
    func resetsBeforeTheHeadAreRetried(method: String) async throws {
        let response = try await transport.send(
            HTTPRequest(
                method: method, url: peer.url + "/reset-head?times=2&key=reset-\(method)",
                body: method == "PUT" ? .stream(length: nil) { Chunks(count: 5, chunk: [1, 2]) } : .none,
                retry: HTTPRetryPolicy(baseDelay: .milliseconds(5))))
        let echo = try await response.echo()
        #expect(echo.count == 3)
        if method == "PUT" { #expect(echo.size == 10) }
    }

    @Test(arguments: ["", "body"])
    func aPostIsSentOnceWhateverHappens(body: String) async throws {
        let key = "post\(body)"
        // The first opens the connection that the second finds in the pool.
        #expect(try await transport.send(HTTPRequest(url: peer.url + "/swallow?after=1")).status == 200)
        let error = await failure(
            HTTPRequest(
                method: "POST", url: peer.url + "/swallow?after=0&key=\(key)", body: .bytes(Array(body.utf8))))
        #expect(error?.code == .connectionLost)
        #expect(try await peer.count(key) == 1)
        let refused = try await transport.send(
            HTTPRequest(method: "POST", url: peer.url + "/flaky?status=503&times=5&key=s\(key)"))
        #expect(refused.status == 503)
        #expect(try await peer.count("s\(key)") == 1)
    }

    @Test func aPostThatIsSafeToRepeatIsRepeated() async throws {
        let response = try await transport.send(
            HTTPRequest(
                method: "POST", url: peer.url + "/flaky?status=502&times=2&key=safe", body: .bytes([1]),
                retry: HTTPRetryPolicy(baseDelay: .milliseconds(5), isSafeToRepeat: true)))
        #expect(try await response.echo().count == 3)
    }

    @Test func retryAfterIsWaitedForWithinItsBound() async throws {
        let started = ContinuousClock.now
        let waited = try await transport.send(
            HTTPRequest(url: peer.url + "/flaky?status=503&times=1&after=1&key=after"))
        #expect(waited.status == 200)
        #expect((.seconds(1)...(.seconds(20))).contains(.now - started))
        let tooLong = try await transport.send(
            HTTPRequest(url: peer.url + "/flaky?status=429&times=9&after=3600&key=long"))
        #expect(tooLong.status == 429)
        #expect(try await peer.count("long") == 1)
        let last = try await transport.send(
            HTTPRequest(
                url: peer.url + "/flaky?status=504&times=9&key=last", retry: HTTPRetryPolicy(baseDelay: .zero)))
        #expect(last.status == 504)
        #expect(try await last.text() == "not now")
        #expect(try await peer.count("last") == 3)
        let other = try await transport.send(HTTPRequest(url: peer.url + "/flaky?status=500&times=9&key=other"))
        #expect(other.status == 500)
        #expect(try await peer.count("other") == 1)
    }

    // MARK: Abandoned calls

    @Test func aCancelledTaskLeavesNoConnectionInMidProtocol() async throws {
        for path in ["/slow-head?s=20", "/stall"] {
            let before = try await transport.send(HTTPRequest(url: peer.url + "/e")).echo()
            let key = "middle" + path.prefix(4).dropFirst()
            let url = peer.url + path + (path.contains("?") ? "&" : "?") + "key=" + key
            let task = Task { try await transport.send(HTTPRequest(url: url)).body.collect(upTo: 1 << 20) }
            while try await peer.count(key) == 0 { try await Task.sleep(for: .milliseconds(10)) }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            let after = try await transport.send(HTTPRequest(url: peer.url + "/e")).echo()
            #expect(after.connection != before.connection)
        }
    }

    @Test func aDroppedBodyClosesItsConnection() async throws {
        let before = try await transport.send(HTTPRequest(url: peer.url + "/e")).echo()
        let status = try await transport.send(HTTPRequest(url: peer.url + "/bytes?n=100000000")).status
        #expect(status == 200)
        let after = try await transport.send(HTTPRequest(url: peer.url + "/e")).echo()
        #expect(after.connection != before.connection)
    }

    @Test func aBodyAboveTheLimitIsAnError() async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(HTTPRequest(url: peer.url + "/bytes?n=2000")).body.collect(upTo: 1999)
        }
        #expect(error?.code == .bodyTooLarge)
    }

    @Test(arguments: [
        HTTPRequest(method: "GE T", url: "http://127.0.0.1/"), HTTPRequest(url: "file:///etc/passwd"),
        HTTPRequest(url: "ftp://127.0.0.1/"), HTTPRequest(url: "http://127.0.0.1/a b"), HTTPRequest(url: "nonsense"),
        HTTPRequest(url: "http://127.0.0.1/\r\nX: y"), HTTPRequest(url: ""),
        HTTPRequest(url: "http://127.0.0.1/", headers: [HTTPHeader("X", "a\r\nY: b")]),
        HTTPRequest(url: "http://127.0.0.1/", headers: [HTTPHeader("X: y\r\nZ", "a")]),
        HTTPRequest(url: "http://127.0.0.1/", headers: [HTTPHeader("Content-Length", "3")]),
        HTTPRequest(url: "http://127.0.0.1/", headers: [HTTPHeader("Transfer-Encoding", "chunked")]),
    ])
    func aRequestThatCannotBeSentIsRefused(request: HTTPRequest) async throws {
        #expect(await failure(request)?.code == .invalidRequest)
    }

    @Test func aFileThatIsNotThereIsNamed() async throws {
        let error = await failure(
            HTTPRequest(method: "PUT", url: peer.url, body: .file(path: "/nowhere/x", offset: 0, length: 1)))
        #expect(error?.code == .fileFailed)
        #expect(error?.message.contains("/nowhere/x") == true)
    }
}
