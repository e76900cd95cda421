import Glibc
import NIOCore
import Synchronization
import TestPeers
import Testing

@testable import Gateway

/// Clients and model servers that go, stall or fail.
@Suite(.timeLimit(.minutes(5))) struct FaultTests {
    /// What is left of a request is ended at the model server when its client goes.
    enum Moment: CaseIterable, Sendable {
        case beforeHeaders
        case betweenChunks
        case atTheLastChunk
    }

    /// Nothing else would end it: the model server says no more, and no time is over.
    @Test(arguments: Moment.allCases)
    func aClientThatGoesEndsItsRequestAtOnce(_ moment: Moment) async throws {
        let arrived = Signal()
        let ended = Signal()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            if moment != .beforeHeaders {
                try await peer.beginEvents()
                try await peer.sendEvent(TestGateway.event("Hello"))
            }
            if moment == .atTheLastChunk { try await peer.sendChunk("data: [DONE]\n\n") }
            arrived.fire()
            _ = try await peer.readToEnd()
            ended.fire()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                // On a busy machine client, gateway and model server wait for their turns, and these for this one; what is
                // looked for ten times a second would be found in time every other time.
                var last: [Bool] = []
                for _ in 0..<400 where last.suffix(20).count(where: \.self) < 18 {
                    let closed = try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(TestGateway.stream))
                        _ = await arrived.wait()
                        if moment == .betweenChunks { _ = try await client.read(until: "Hello") }
                        if moment == .atTheLastChunk { _ = try await client.read(until: "[DONE]") }
                        let now = ContinuousClock.now
                        await client.close()
                        return now
                    }
                    let passed = await ended.wait() - closed
                    #expect(passed > .zero, "ended before its client went")
                    last.append(passed < .milliseconds(50))
                }
                #expect(
                    last.suffix(20).count(where: \.self) >= 18, "in time: \(last.count(where: \.self)) of \(last.count)"
                )
                while gateway.core.admission.load(of: 0).inFlight > 0 { try await Task.sleep(for: .milliseconds(5)) }
            }
        }
    }

    /// By itself, and as the call that equal requests share.
    @Test(arguments: ["", #","temperature":0"#])
    func aBatchMakesRoomForSomebodyAndIsAskedAgain(_ options: String) async throws {
        let batch = #"{"model":"m","messages":[{"role":"user","content":"batch"}]\#(options)}"#
        let (asked, brokenOff) = (Signal(), Signal())
        let tries = Mutex(0)
        try await ScriptedUpstream.with { peer in
            while true {
                let (_, body) = try await peer.readRequest()
                let isFirst =
                    body.contains("batch")
                    && tries.withLock { tries in
                        tries += 1
                        return tries == 1
                    }
                guard isFirst else {
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                asked.fire()
                _ = try await peer.readToEnd()
                brokenOff.fire()
                return
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                let pass = "Authorization: \(gateway.batchAuthorization(key: 0))\r\n"
                try await WirePeer.connect(port: gateway.port) { line in
                    try await line.send(TestGateway.request(batch, fields: pass))
                    _ = await asked.wait()
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request())
                        #expect(try await client.readResponse().body == TestGateway.answer)
                    }
                    _ = await brokenOff.wait()
                    // When nobody has come for a while it has its turn again.
                    #expect(try await line.readResponse().body == TestGateway.answer)
                }
                #expect(tries.withLock { $0 } == 2)
                #expect(gateway.core.admission.load(of: 0).inFlight == 0)
            }
        }
    }

    @Test func aPlaceIsHeldUntilTheStreamHasEnded() async throws {
        let (began, goOn) = (Signal(), Signal())
        try await ScriptedUpstream.with { peer in
            while true {
                let (_, body) = try await peer.readRequest()
                guard body.contains(#""stream":true"#) else {
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                try await peer.beginEvents()
                try await peer.sendEvent(TestGateway.event("Hello"))
                began.fire()
                _ = await goOn.wait()
                try await peer.send("0\r\n\r\n")
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: 1) { gateway in
                try await WirePeer.connect(port: gateway.port) { first in
                    try await first.send(TestGateway.request(TestGateway.stream))
                    _ = await began.wait()
                    _ = try await first.read(until: "Hello")
                    try await withThrowingTaskGroup(of: ContinuousClock.Instant.self) { group in
                        group.addTask {
                            try await WirePeer.connect(port: gateway.port) { second in
                                try await second.send(TestGateway.request())
                                #expect(try await second.readResponse().body == TestGateway.answer)
                                return .now
                            }
                        }
                        while gateway.core.admission.load(of: 0).waiting == 0 {
                            try await Task.sleep(for: .milliseconds(5))
                        }
                        #expect(gateway.core.admission.load(of: 0).inFlight == 1)
                        let released = ContinuousClock.now
                        goOn.fire()
                        let answered = try await group.next() ?? .now
                        #expect(answered > released)
                    }
                    _ = try await first.read(until: "0\r\n\r\n")
                }
            }
        }
    }

    @Test func whoLeavesTheQueueIsGone() async throws {
        let began = Signal()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            began.fire()
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: 1) { gateway in
                try await WirePeer.connect(port: gateway.port) { first in
                    try await first.send(TestGateway.request())
                    _ = await began.wait()
                    try await WirePeer.connect(port: gateway.port) { second in
                        try await second.send(TestGateway.request())
                        while gateway.core.admission.load(of: 0).waiting == 0 {
                            try await Task.sleep(for: .milliseconds(5))
                        }
                        await second.close()
                    }
                    while gateway.core.admission.load(of: 0).waiting > 0 { try await Task.sleep(for: .milliseconds(5)) }
                    #expect(gateway.core.admission.load(of: 0).inFlight == 1)
                }
            }
        }
    }

    @Test func aFullQueueAndALongWaitAreToldWithATimeToComeBack() async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port], maximumInFlight: 1) {
                $0.limits.queued = 1
                $0.timeouts.queue = .seconds(5)
            } _: { gateway in
                try await WirePeer.connect(port: gateway.port) { first in
                    try await first.send(TestGateway.request())
                    while gateway.core.admission.load(of: 0).inFlight == 0 {
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    try await WirePeer.connect(port: gateway.port) { second in
                        try await second.send(TestGateway.request())
                        while gateway.core.admission.load(of: 0).waiting == 0 {
                            try await Task.sleep(for: .milliseconds(5))
                        }
                        try await WirePeer.connect(port: gateway.port) { third in
                            try await third.send(TestGateway.request())
                            let (head, body) = try await third.readResponse()
                            #expect(head.hasPrefix("HTTP/1.1 429 ") && head.contains("retry-after: "))
                            #expect(body.contains(#""code":"queue_full""#))
                        }
                        let (head, body) = try await second.readResponse()
                        #expect(head.hasPrefix("HTTP/1.1 503 ") && head.contains("retry-after: "))
                        #expect(body.contains(#""code":"queue_timeout""#))
                    }
                }
            }
        }
    }

    /// What a slow client does not take stays where it is made; nobody else is slowed down.
    @Test func aSlowReaderHoldsBackItsOwnStreamOnly() async throws {
        let piece = String(repeating: "x", count: 16_000)
        let total = 4_000
        let sent = Progress()
        try await ScriptedUpstream.with { peer in
            while true {
                let (_, body) = try await peer.readRequest()
                guard body.contains(#""stream":true"#) else {
                    try await peer.answer(TestGateway.answer)
                    continue
                }
                try await peer.beginEvents()
                for _ in 0..<total {
                    let event = "data: \(TestGateway.event(piece))\n\n"
                    try await peer.sendThrough("\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n")
                    sent.add()
                }
                try await peer.send("0\r\n\r\n")
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 65_536) { slow in
                    try await slow.send(TestGateway.request(TestGateway.stream))
                    await sent.waitUntilItStands()
                    // Of 64 MB some are in the kernel's buffers, and the rest is not yet made.
                    #expect(sent.count < total / 4, "\(sent.count) of \(total)")
                    try await WirePeer.connect(port: gateway.port) { other in
                        for _ in 0..<20 {
                            try await other.send(TestGateway.request())
                            #expect(try await other.readResponse().body == TestGateway.answer)
                        }
                    }
                    await slow.setReading(true)
                    _ = try await slow.read(until: "\r\n\r\n")
                    var count = 0
                    let event = "data: \(TestGateway.event(piece))\n\n"
                    while count < total * event.utf8.count {
                        // CR LF is one character.
                        let size = try await slow.read(until: "\r\n").dropLast(1)
                        let length = try #require(Int(size, radix: 16))
                        count += try await slow.read(count: length + 2).readableBytes - 2
                    }
                    #expect(count == total * event.utf8.count)
                }
            }
        }
    }

    /// In an event or between two of them: what has begun is not asked of the other replica.
    @Test(arguments: ["", "18\r\ndata: {\"id\":\"1\",\"choices\r\n"])
    func aModelServerThatDiesInItsStreamIsToldByAnEvent(_ rest: String) async throws {
        let requests = Progress()
        @Sendable func script(_ peer: WirePeer) async throws {
            _ = try await peer.readRequest()
            requests.add()
            try await peer.beginEvents()
            try await peer.sendEvent(TestGateway.event("Hello"))
            if !rest.isEmpty { try await peer.sendThrough(rest) }
            await peer.close()
        }
        try await ScriptedUpstream.with(script) { one in
            try await ScriptedUpstream.with(script) { other in
                try await TestGateway.with(upstreams: [one.port, other.port]) { gateway in
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(TestGateway.stream))
                        let text = try await client.readToEnd()
                        #expect(text.contains("Hello"))
                        #expect(text.contains("data: {\"error\":{\"message\":"))
                        #expect(text.contains(#""code":"upstream_closed""#))
                        #expect(text.hasSuffix("}}\n\n\r\n0\r\n\r\n") && !text.contains("[DONE]"))
                        // Of the event that has no end nothing is passed on.
                        #expect(text.ranges(of: "\"choices").count == 1)
                    }
                    while gateway.core.admission.load(of: 0).inFlight > 0 {
                        try await Task.sleep(for: .milliseconds(2))
                    }
                    #expect(requests.count == 1)
                }
            }
        }
    }

    /// Where only the end of the connection ends an answer, a model server that dies looks like one that is done.
    @Test(arguments: [true, false])
    func aStreamThatOnlyTheConnectionEndsMustSayThatItIsDone(_ isDone: Bool) async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            try await peer.send("data: \(TestGateway.event("Hello"))\n\n" + (isDone ? "data: [DONE]\n\n" : ""))
            await peer.close()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(TestGateway.request(TestGateway.stream, fields: "Connection: close\r\n"))
                    let text = try await client.readToEnd()
                    #expect(text.contains("Hello") && text.hasSuffix("\r\n0\r\n\r\n"))
                    #expect(text.contains("[DONE]") == isDone && text.contains("upstream_closed") == !isDone)
                }
            }
        }
    }

    /// A model server that fails in its stream may say so there, and end it in good order: it failed all the same.
    @Test(arguments: [("500", false), ("400", true)])
    func anErrorInTheStreamIsTheModelServers(_ code: String, isFine: Bool) async throws {
        try await ScriptedUpstream.with { peer in
            while true {
                _ = try await peer.readRequest()
                try await peer.beginEvents()
                try await peer.sendEvent(TestGateway.event("Hello"))
                try await peer.sendEvent(#"{"error":{"message":"the engine is dead","code":\#(code)}}"#)
                try await peer.sendChunk("data: [DONE]\n\n")
                try await peer.send("0\r\n\r\n")
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    for _ in 0..<ReplicaHealth.failureLimit {
                        try await client.send(TestGateway.request(TestGateway.stream))
                        let text = try await client.read(until: "\r\n0\r\n\r\n")
                        #expect(text.contains("the engine is dead") && text.contains("[DONE]"))
                    }
                }
                #expect(gateway.core.admission.isUsable(0) == isFine)
            }
        }
    }

    /// How an answer is told, and how it breaks off: nothing is asked twice, and the client cannot take it for a whole one.
    @Test(arguments: [
        ("content-length: 1000\r\n\r\n{\"half\":", TestGateway.plain, ""),
        ("transfer-encoding: chunked\r\n\r\n8\r\n{\"half\":\r\n", TestGateway.plain, ""),
        ("transfer-encoding: chunked\r\n\r\n8\r\n{\"half\":\r\nzz\r\n", TestGateway.plain, ""),
        (
            "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: {}\r\nzz\r\n",
            TestGateway.stream, "bad_upstream_response"
        ),
        ("content-length: 1000\r\n\r\n{\"half\":", TestGateway.deterministic, "upstream_failed"),
    ])
    func anAnswerThatBreaksOffIsAskedOnce(_ answer: String, request: String, code: String) async throws {
        let requests = Progress()
        @Sendable func script(_ peer: WirePeer) async throws {
            _ = try await peer.readRequest()
            requests.add()
            try await peer.send("HTTP/1.1 200 OK\r\n\(answer)")
            await peer.close()
        }
        try await ScriptedUpstream.with(script) { one in
            try await ScriptedUpstream.with(script) { other in
                try await TestGateway.with(upstreams: [one.port, other.port]) { gateway in
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(request, fields: "Connection: close\r\n"))
                        let text = try await client.readToEnd()
                        #expect(requests.count == 1)
                        if code.isEmpty {
                            #expect(text.contains("{\"half\":") && !text.hasSuffix("0\r\n\r\n"), "\(text)")
                        } else {
                            #expect(text.contains("\"code\":\"\(code)\""), "\(text)")
                        }
                    }
                    while gateway.core.admission.load(of: 0).inFlight > 0 {
                        try await Task.sleep(for: .milliseconds(2))
                    }
                    #expect(requests.count == 1)
                }
            }
        }
    }

    /// An answer that takes longer than connections are kept idle reaches a client that goes on reading.
    @Test(arguments: ["", "Connection: close\r\n"])
    func aSlowReaderGetsAllOfAnAnswerThatIsThere(_ fields: String) async throws {
        let size = 10 << 20
        try await ScriptedUpstream.with { peer in
            while true {
                _ = try await peer.readRequest()
                try await peer.answer(String(repeating: "x", count: size))
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) {
                $0.timeouts.keepAlive = .seconds(1)
                $0.timeouts.stalledClient = .seconds(3)
            } _: { gateway in
                try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 65_536) { client in
                    try await client.send(TestGateway.request(TestGateway.deterministic, fields: fields))
                    let began = ContinuousClock.now
                    let first = String(buffer: try await client.readSlowly(count: 8_192))
                    let head = try #require(first.firstRange(of: "\r\n\r\n"))
                    var taken = first[head.upperBound...].utf8.count
                    while taken < size {
                        let piece = min(400 << 10, size - taken)
                        taken += try await client.readSlowly(count: piece).readableBytes
                        try await Task.sleep(for: .milliseconds(200))
                    }
                    // Longer than any of the two; else nothing was tried.
                    #expect(ContinuousClock.now - began > .seconds(4))
                }
            }
        }
    }

    /// One who takes nothing at all does not hold a replica's place for ever.
    @Test func whoTakesNothingOfAStreamLosesIt() async throws {
        let ended = Signal()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.beginEvents()
            let event = TestGateway.event(String(repeating: "x", count: 60_000))
            while (try? await peer.sendEvent(event)) != nil {}
            ended.fire()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) {
                $0.timeouts.stalledClient = .milliseconds(300)
            } _: { gateway in
                try await WirePeer.connect(port: gateway.port, isReading: false, receiveBuffer: 65_536) { client in
                    try await client.send(TestGateway.request(TestGateway.stream))
                    _ = await ended.wait()
                }
                while gateway.core.admission.load(of: 0).inFlight > 0 { try await Task.sleep(for: .milliseconds(5)) }
            }
        }
    }

    @Test(arguments: ["content-length: 1000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n8\r\n"])
    func anAnswerThatIsCutIsNoWholeAnswer(_ beginning: String) async throws {
        let passed = Progress()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.send("HTTP/1.1 200 OK\r\n\(beginning){\"half\":")
            // Not cut before the client has what there is.
            while passed.count == 0 { try await Task.sleep(for: .milliseconds(5)) }
            await peer.close()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(TestGateway.request())
                    let text = try await client.read(until: "{\"half\":")
                    #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n") && text.contains(beginning.prefix { $0 != "\r\n" }))
                    passed.add()
                    // Not the last chunk either, where it comes in chunks.
                    #expect(try await client.readToEnd() == (beginning.hasPrefix("content-length") ? "" : "\r\n"))
                }
            }
        }
    }

    @Test func beforeTheFirstByteAnotherReplicaIsAsked() async throws {
        let failed = Progress()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            failed.add()
            await peer.close()
        } _: { broken in
            try await ScriptedUpstream.with { peer in
                while true {
                    _ = try await peer.readRequest()
                    try await peer.answer(TestGateway.answer)
                }
            } _: { whole in
                try await TestGateway.with(upstreams: [broken.port, whole.port]) { gateway in
                    try await WirePeer.connect(port: gateway.port) { client in
                        for index in 0..<20 {
                            // Other beginnings go to other replicas.
                            try await client.send(TestGateway.request(#"{"model":"m","prompt":"\#(index)"}"#))
                            #expect(try await client.readResponse().body == TestGateway.answer)
                        }
                    }
                    #expect(failed.count > 0)
                }
            }
        }
    }

    /// The model server closes a connection that it kept open, as it does after some seconds, when the next request is on
    /// its way: that is no failure of its.
    @Test func aConnectionThatWasClosedMeanwhileIsOpenedAgain() async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.answer(TestGateway.answer)
            _ = try await peer.readRequest()
            await peer.close()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    for _ in 0..<20 {
                        try await client.send(TestGateway.request())
                        #expect(try await client.readResponse().body == TestGateway.answer)
                    }
                }
            }
        }
    }

    /// Clients that send several requests at once and are gone without a word.
    @Test func resetsInTheMiddleOfAnswersHurtNobody() async throws {
        try await ScriptedUpstream.with { peer in
            while true {
                _ = try await peer.readRequest()
                try await peer.answer(TestGateway.answer)
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                for _ in 0..<200 {
                    try await WirePeer.connect(port: gateway.port, isReading: false) { client in
                        try await client.send(String(repeating: TestGateway.request(), count: 5))
                        // With answers that nobody has read the kernel sends a reset.
                        await client.close()
                    }
                }
                while gateway.core.admission.load(of: 0).inFlight > 0 {
                    try await Task.sleep(for: .milliseconds(5))
                }
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(TestGateway.request())
                    #expect(try await client.readResponse().body == TestGateway.answer)
                }
            }
        }
    }

    @Test func whereNobodyListensTheErrorSaysSo() async throws {
        // Bound, so that nobody else gets the port, and deaf.
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bound in
                bind(descriptor, bound, length) == 0 ? getsockname(descriptor, bound, &length) : -1
            }
        }
        try #require(result == 0)
        try await TestGateway.with(upstreams: [Int(UInt16(bigEndian: address.sin_port))]) { gateway in
            try await WirePeer.connect(port: gateway.port) { client in
                try await client.send(TestGateway.request())
                let (head, body) = try await client.readResponse()
                #expect(
                    head.hasPrefix("HTTP/1.1 502 ") && body.contains(#""code":"upstream_unreachable""#),
                    "\(head)\(body)")
            }
        }
    }

    @Test(arguments: [
        "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \(String(repeating: "y", count: 70_000))\r\n\r\n",
    ])
    func anAnswerThatIsNoHTTPIsABadGateway(_ answer: String) async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.send(answer)
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(TestGateway.request())
                    let (head, body) = try await client.readResponse()
                    #expect(head.hasPrefix("HTTP/1.1 502 ") && body.contains("bad_upstream_response"))
                }
            }
        }
    }

    @Test func silenceIsBounded() async throws {
        try await ScriptedUpstream.with { peer in
            let (_, body) = try await peer.readRequest()
            if body.contains("begin") {
                try await peer.beginEvents()
                try await peer.sendEvent(TestGateway.event("Hello"))
            }
            _ = try await peer.readToEnd()
        } _: { upstream in
            // What comes in one piece has the time that its tokens take, and where nobody knows how many, all there is.
            for (options, total, least) in [
                (#","stream":true"#, 60, 0.3), (#","max_tokens":10"#, 60, 1.3), ("", 2, 2),
            ] as [(String, Int, Double)] {
                try await TestGateway.with(upstreams: [upstream.port]) {
                    $0.timeouts.firstToken = .milliseconds(300)
                    $0.timeouts.perToken = .milliseconds(100)
                    $0.timeouts.total = .seconds(total)
                } _: { gateway in
                    try await WirePeer.connect(port: gateway.port) { client in
                        let began = ContinuousClock.now
                        try await client.send(TestGateway.request(#"{"model":"m","messages":[]\#(options)}"#))
                        let (head, body) = try await client.readResponse()
                        let took = (ContinuousClock.now - began) / .seconds(1)
                        #expect(head.hasPrefix("HTTP/1.1 504 ") && body.contains("first_token_timeout"))
                        #expect(took >= least && took < 30, "\(options) took \(took) s")
                    }
                }
            }
            try await TestGateway.with(upstreams: [upstream.port]) {
                $0.timeouts.betweenTokens = .milliseconds(300)
            } _: { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(
                        TestGateway.request(#"{"model":"m","stream":true,"prompt":"begin"}"#))
                    let text = try await client.readToEnd()
                    #expect(text.contains("Hello") && text.contains("token_timeout"))
                }
            }
        }
    }

    /// A replica that dies leaves kept connections to it behind, each of which looks as if only it had been closed.
    @Test func aDeadReplicasKeptConnectionsCostNobodyAnAnswer() async throws {
        let dead = Mutex<String?>(nil)
        let arrived = Progress()
        let goOn = Gate()
        func server(_ name: String) -> @Sendable (WirePeer) async throws -> Void {
            { peer in
                while true {
                    _ = try await peer.readRequest()
                    if dead.withLock({ $0 }) == name {
                        await peer.close()
                        return
                    }
                    arrived.add()
                    await goOn.wait()
                    try await peer.answer(#"{"id":"\#(name)"}"#)
                }
            }
        }
        try await ScriptedUpstream.with(server("a")) { a in
            try await ScriptedUpstream.with(server("b")) { b in
                try await TestGateway.with(upstreams: [a.port, b.port]) {
                    $0.threads = 1
                } _: { gateway in
                    func ask() async throws -> (status: String, body: String) {
                        try await WirePeer.connect(port: gateway.port) { client in
                            try await client.send(TestGateway.request())
                            let (head, body) = try await client.readResponse()
                            return (String(head.prefix(12)), body)
                        }
                    }
                    // Both have some connections that are kept afterwards.
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for _ in 0..<10 { group.addTask { _ = try await ask() } }
                        while arrived.count < 10 { try await Task.sleep(for: .milliseconds(2)) }
                        goOn.open()
                        try await group.waitForAll()
                    }
                    // The one that these prompts prefer.
                    let preferred = try await ask().body.contains("a") ? "a" : "b"
                    dead.withLock { $0 = preferred }
                    for _ in 0..<10 {
                        let (status, body) = try await ask()
                        #expect(status == "HTTP/1.1 200" && !body.contains("\"\(preferred)\""), "\(status) \(body)")
                    }
                }
            }
        }
    }

    /// A short request that one replica is slow to answer is asked of another too; whoever is first is taken.
    @Test(arguments: [true, false]) func aSlowReplicaIsOvertaken(secondAnswers: Bool) async throws {
        let slow = Mutex<Int?>(nil)
        let (asked, ended, goOn) = (Signal(), Signal(), Gate())
        func server(_ number: Int) -> @Sendable (WirePeer) async throws -> Void {
            { peer in
                while true {
                    _ = try await peer.readRequest()
                    // Who is asked first is the slow one.
                    let isSlow = slow.withLock { slow in
                        slow = slow ?? number
                        return slow == number
                    }
                    if isSlow == secondAnswers {
                        asked.fire()
                        _ = try await peer.readToEnd()
                        ended.fire()
                        return
                    }
                    if !secondAnswers { await goOn.wait() }
                    try await peer.answer(#"{"id":"\#(isSlow ? "slow" : "fast")"}"#)
                }
            }
        }
        try await ScriptedUpstream.with(server(0)) { a in
            try await ScriptedUpstream.with(server(1)) { b in
                try await TestGateway.with(upstreams: [a.port, b.port]) {
                    $0.timeouts.hedge = .milliseconds(50)
                } _: { gateway in
                    let body = #"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":8}"#
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(body))
                        if !secondAnswers {
                            // The other one is asked; then the first one answers after all.
                            _ = await asked.wait()
                            goOn.open()
                        }
                        #expect(try await client.readResponse().body.contains(secondAnswers ? "fast" : "slow"))
                    }
                    // The other one is told at once.
                    _ = await ended.wait()
                    while gateway.core.admission.load(of: 0).inFlight > 0 {
                        try await Task.sleep(for: .milliseconds(5))
                    }
                }
            }
        }
    }

    /// Closed until it is opened, for any number.
    private final class Gate: Sendable {
        private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

        func wait() async {
            await withCheckedContinuation { continuation in
                let isOpen = state.withLock { state in
                    if !state.isOpen { state.waiting.append(continuation) }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
        }

        func open() {
            let waiting = state.withLock { state in
                state.isOpen = true
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }
    }
}
