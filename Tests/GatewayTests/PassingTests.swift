import NIOCore
import TestPeers
import Testing

@testable import Gateway

/// What passes through, and what does not.
@Suite(.timeLimit(.minutes(5))) struct PassingTests {
    @Test func aRequestAndItsAnswer() async throws {
        try await ScriptedUpstream.with { peer in
            while true {
                let (head, body) = try await peer.readRequest()
                #expect(head.hasPrefix("POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:"))
                #expect(body == #"{"model":"m-1","messages":[{"role":"user","content":"hi"}]}"#)
                // The client's credentials and cookies are not the model server's business.
                #expect(head.contains("authorization: Bearer upstream-secret\r\n") && !head.contains("sk-client"))
                #expect(!head.lowercased().contains("cookie") && !head.contains("x-other"))
                #expect(head.contains("x-request-id: own-7\r\n"))
                #expect(head.contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c-"))
                #expect(!head.contains("b7ad6b7169203331") && head.contains("-01\r\ntracestate: a=b\r\n"))
                try await peer.answer(
                    TestGateway.answer, fields: "server: uvicorn\r\nset-cookie: a=b\r\nx-extra: e\r\n")
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    let fields =
                        "Authorization: Bearer sk-client\r\nCookie: c=d\r\nX-Other: o\r\nX-Request-Id: own-7\r\n"
                        + "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTracestate: a=b\r\n"
                    for _ in 0..<3 {
                        try await client.send(TestGateway.request(fields: fields))
                        let (head, body) = try await client.readResponse()
                        #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n") && head.contains("x-extra: e\r\n"))
                        #expect(head.contains("x-request-id: own-7\r\n"))
                        #expect(!head.contains("uvicorn") && !head.contains("set-cookie") && !head.contains("secret"))
                        #expect(body == TestGateway.answer)
                    }
                }
            }
        }
    }

    /// What is written has room, however much of it is the client's and the model server's.
    @Test(arguments: ["1.1", "1.0"], [0, 1, 3_000, 4_095, 4_096, 4_097, 100_000])
    func theLongestHeads(version: String, size: Int) async throws {
        let id = String(repeating: "i", count: 128)
        let accept = String(repeating: "a", count: 256)
        let state = "t=" + String(repeating: "s", count: 510)
        let content = String(repeating: "c", count: size)
        // As an answer may have them: nothing between the colon and the value.
        let fields = (0..<90).map { "X-\($0):\($0)\r\n" }.joined()
        try await ScriptedUpstream.with { peer in
            let (head, _) = try await peer.readRequest()
            #expect(head.contains("x-request-id: \(id)\r\naccept: \(accept)\r\ntraceparent: 00-0af7651916cd43dd"))
            #expect(head.contains("\r\ntracestate: \(state)\r\n"))
            try await peer.send("HTTP/1.1 431 No\r\n\(fields)content-length:\(size)\r\n\r\n\(content)")
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    let own =
                        "X-Request-Id: \(id)\r\nAccept: \(accept)\r\nTracestate: \(state)\r\nConnection: keep-alive\r\n"
                        + "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
                    let request = TestGateway.request(fields: own)
                    try await client.send(request.replacing("HTTP/1.1\r\n", with: "HTTP/\(version)\r\n"))
                    let (head, body) = try await client.readResponse()
                    #expect(head.hasPrefix("HTTP/1.1 431 Request Header Fields Too Large\r\n"))
                    for index in 0..<90 { #expect(head.contains("\r\nX-\(index): \(index)\r\n")) }
                    #expect(head.contains("\r\nx-request-id: \(id)\r\ncontent-length: \(size)\r\n"))
                    #expect(head.contains("connection: keep-alive\r\n") == (version == "1.0"))
                    #expect(body == content)
                }
            }
        }
    }

    @Test func namesAreMadeWhereTheClientHasNone() async throws {
        try await ScriptedUpstream.with { peer in
            let (head, _) = try await peer.readRequest()
            let id = try #require(head.firstMatch(of: #/x-request-id: ([0-9a-f]{32})\r\n/#)).1
            #expect(head.contains(#/traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n/#))
            try await peer.answer("{\"id\":\"\(id)\"}")
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    // Ids that would end a header line or a log line are not taken.
                    try await client.send(TestGateway.request(fields: "X-Request-Id: a b\r\nTraceparent: 00-x\r\n"))
                    let (head, body) = try await client.readResponse()
                    let id = try #require(body.split(separator: "\"").dropFirst(3).first)
                    #expect(head.contains("x-request-id: \(id)\r\n"))
                }
            }
        }
    }

    /// The use of tokens is asked for, and kept back unless the client asked for it as well.
    @Test(arguments: [false, true])
    func aStream(_ wantsUsage: Bool) async throws {
        let use = #"{"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#
        try await ScriptedUpstream.with { peer in
            let (_, body) = try await peer.readRequest()
            #expect(body.contains(#""stream_options":{"include_usage":true}"#))
            try await peer.beginEvents()
            for word in ["Hello", " world"] { try await peer.sendEvent(TestGateway.event(word)) }
            try await peer.sendEvent(use)
            try await peer.sendChunk("data: [DONE]\n\n")
            try await peer.send("0\r\n\r\n")
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    let options = wantsUsage ? #","stream_options":{"include_usage":true}"# : ""
                    try await client.send(
                        TestGateway.request(#"{"model":"m","stream":true\#(options),"messages":[]}"#))
                    let head = try await client.read(until: "\r\n\r\n")
                    #expect(head.contains("content-type: text/event-stream") && head.contains("chunked"))
                    #expect(head.contains("x-accel-buffering: no\r\n"))
                    let text = try await client.read(until: "0\r\n\r\n")
                    #expect(text.contains("Hello") && text.contains(" world") && text.contains("[DONE]"))
                    #expect(text.contains(use) == wantsUsage)
                }
            }
        }
    }

    /// The first piece of an answer comes when the model server has it, not when there is more.
    @Test func piecesAreNotHeldBack() async throws {
        let goOn = Signal()
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.beginEvents()
            for index in 0..<5 {
                try await peer.sendEvent(TestGateway.event("piece-\(index)"))
                // Not before the client has it.
                _ = await goOn.wait()
            }
            try await peer.send("0\r\n\r\n")
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(TestGateway.request(TestGateway.stream))
                    for index in 0..<5 {
                        _ = try await client.read(until: "piece-\(index)")
                        goOn.fire()
                    }
                    _ = try await client.read(until: "0\r\n\r\n")
                }
            }
        }
    }

    /// Answers every request with its body.
    private static func echo(_ peer: WirePeer) async throws {
        while true {
            let (_, body) = try await peer.readRequest()
            try await peer.answer(body)
        }
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await ScriptedUpstream.with { peer in
            try await Self.echo(peer)
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    let requests = (0..<50).map { index in
                        index % 7 == 3
                            ? "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
                            : TestGateway.request(#"{"model":"m","prompt":"\#(index)"}"#, path: "/v1/completions")
                    }
                    try await client.send(requests.joined())
                    for index in 0..<50 {
                        let (_, body) = try await client.readResponse()
                        #expect(
                            body == (index % 7 == 3 ? #"{"status":"ok"}"# : #"{"model":"m-1","prompt":"\#(index)"}"#))
                    }
                }
            }
        }
    }

    @Test func aRequestBehindAStreamWaitsForItsEnd() async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.beginEvents()
            for event in ["a", "b"] { try await peer.sendEvent(TestGateway.event(event)) }
            try await peer.send("0\r\n\r\n")
            try await Self.echo(peer)
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    let next = #"{"model":"m","prompt":"next"}"#
                    try await client.send(
                        TestGateway.request(TestGateway.stream) + TestGateway.request(next, path: "/v1/completions"))
                    let text = try await client.read(until: "0\r\n\r\n")
                    #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
                    for event in ["a", "b"] { #expect(text.contains("data: \(TestGateway.event(event))\n\n")) }
                    #expect(try await client.readResponse().body == #"{"model":"m-1","prompt":"next"}"#)
                }
            }
        }
    }

    /// Such an answer has no content, and says nothing of its length.
    @Test(arguments: [(204, ""), (304, "content-length: 9\r\n")], ["", #""temperature":0,"#, #""stream":true,"#])
    func whatHasNoContentHasNoLength(answer: (status: Int, fields: String), members: String) async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.send(
                "HTTP/1.1 \(answer.status) x\r\ncontent-type: text/event-stream\r\n\(answer.fields)\r\n")
            let (_, body) = try await peer.readRequest()
            try await peer.answer(body)
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    let request = #"{"model":"m",\#(members)"prompt":"x"}"#
                    try await client.send(TestGateway.request(request, path: "/v1/completions"))
                    let head = try await client.read(until: "\r\n\r\n")
                    #expect(head.hasPrefix("HTTP/1.1 \(answer.status) "))
                    #expect(!head.contains("content-length") && !head.contains("transfer-encoding"))
                    let next = #"{"model":"m","prompt":"x"}"#
                    try await client.send(TestGateway.request(next, path: "/v1/completions"))
                    #expect(try await client.readResponse().body == #"{"model":"m-1","prompt":"x"}"#)
                }
            }
        }
    }

    @Test func aChunkedRequestIsPassedOnWhole() async throws {
        try await ScriptedUpstream.with { peer in
            try await Self.echo(peer)
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    for _ in 0..<2 {
                        try await client.send(
                            "POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                                + "Expect: 100-continue\r\n\r\n")
                        #expect(try await client.read(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
                        for piece in [#"{"model":"m","#, #""prompt":"#, #""x"}"#] {
                            try await client.send("\(String(piece.utf8.count, radix: 16))\r\n\(piece)\r\n")
                        }
                        try await client.send("0\r\n\r\n")
                        #expect(try await client.readResponse().body == #"{"model":"m-1","prompt":"x"}"#)
                    }
                }
            }
        }
    }

    @Test func anOldClientGetsAnAnswerThatEndsWithTheConnection() async throws {
        try await ScriptedUpstream.with { peer in
            _ = try await peer.readRequest()
            try await peer.beginEvents()
            try await peer.sendEvent(TestGateway.event("x"))
            try await peer.send("0\r\n\r\n")
            _ = try await peer.readToEnd()
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    let body = TestGateway.stream
                    try await client.send(
                        "POST /v1/chat/completions HTTP/1.0\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
                    let text = try await client.readToEnd()
                    #expect(!text.contains("chunked") && text.contains("connection: close"))
                    #expect(text.hasSuffix("\r\n\r\ndata: \(TestGateway.event("x"))\n\n"))
                }
            }
        }
    }
}
