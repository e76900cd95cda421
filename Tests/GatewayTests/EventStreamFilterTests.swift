import NIOCore
import Testing

@testable import Gateway

@Suite struct EventStreamFilterTests {
    private static let events = [
        #"data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        #"data: {"id":"1","choices":[{"index":0,"delta":{"content":"SQL \"usage\": {}"}}]}"#,
        ": a comment",
        #"data: {"id":"1","choices":[{"index":0,"delta":{"content":" injection"},"finish_reason":"stop"}]}"#,
        #"data: {"id":"1","choices":[],"usage":{"prompt_tokens":20,"total_tokens":27,"completion_tokens":7}}"#,
        "data: [DONE]",
    ]

    private static func filter(
        _ text: String, pieces: Int, passesUsage: Bool
    ) -> (filter: EventStreamFilter, out: String) {
        var filter = EventStreamFilter(passesUsage: passesUsage)
        var out = ByteBuffer()
        var rest = ByteBuffer(string: text)
        while let piece = rest.readSlice(length: min(pieces, rest.readableBytes)), piece.readableBytes > 0 {
            filter.feed(piece, into: &out)
        }
        filter.finish(into: &out)
        return (filter, String(buffer: out))
    }

    @Test(arguments: [1, 2, 7, 100, 10_000], ["\n\n", "\r\n\r\n"])
    func theUseIsFoundAndKeptBack(_ pieces: Int, end: String) {
        let text = Self.events.joined(separator: end) + end
        let (filter, out) = Self.filter(text, pieces: pieces, passesUsage: false)
        #expect(filter.use == TokenUse(prompt: 20, completion: 7) && filter.pieces == 2 && filter.isDone)
        var kept = Self.events
        kept.remove(at: 4)
        #expect(out == kept.joined(separator: end) + end)
        #expect(Self.filter(text, pieces: pieces, passesUsage: true).out == text)
    }

    @Test func aStreamThatIsCutIsPassedOnAsFarAsItCame() {
        let text = Self.events[0] + "\n\n" + Self.events[1] + "\n\n" + "data: {\"id\""
        let (filter, out) = Self.filter(text, pieces: 5, passesUsage: false)
        #expect(filter.use == nil && filter.pieces == 2 && !filter.isDone && out == text)
    }

    @Test func anErrorInTheStreamIsSeen() {
        let (filter, out) = Self.filter(
            "data: {\"error\":{\"message\":\"x\"}}\n\n", pieces: 100, passesUsage: false)
        #expect(filter.hasFailed && out == "data: {\"error\":{\"message\":\"x\"}}\n\n")
    }

    @Test(arguments: [
        (#"data: {"error":{"code":404}}"#, false), (#"data: {"error":{"code": 400}}"#, false),
        (#"data: {"error":{"code":500}}"#, true), (#"data: {"choices":[{"text":"x"}],"error":null}"#, false),
        (#"data: {"choices":[{"text":"\"error\":"}]}"#, false),
    ])
    func aFaultOfTheRequestIsNoFailure(_ event: String, hasFailed: Bool) {
        let (filter, out) = Self.filter(event + "\n\n", pieces: 1_000, passesUsage: false)
        #expect(filter.hasFailed == hasFailed && out == event + "\n\n")
    }

    @Test(arguments: [
        (#"data: {"choices":[{"text":"","finish_reason":"length"}]}"#, 0, true),
        (#"data: {"choices":[{"text":"a","finish_reason":"length"}]}"#, 1, true),
        (#"data: {"choices":[{"text":"\"finish_reason\":\"length\""}]}"#, 1, false),
        (#"data: {"choices":[{"delta":{"content":"\"\"","x":"text"}}]}"#, 1, false),
        (#"data: ""#, 1, false), ("data: \"c", 1, false), ("data: [DONE]", 0, false), ("event: x", 0, false),
    ])
    func whatAnEventSays(_ event: String, pieces: Int, isTruncated: Bool) {
        let (filter, _) = Self.filter(event + "\n\n", pieces: 1_000, passesUsage: false)
        #expect(filter.pieces == pieces && filter.isTruncated == isTruncated)
    }

    /// What is kept back may stand anywhere in what comes at once.
    @Test func eventsThatComeAtOnceAreKeptBackOneByOne() {
        let use = #"data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"# + "\n\n"
        let text = #"data: {"choices":[{"text":"a"}]}"# + "\n\n"
        let out = Self.filter(use + text + text + use + use + text, pieces: 10_000, passesUsage: false).out
        #expect(out == text + text + text)
    }

    @Test func whatNeverEndsIsNotKept() {
        var filter = EventStreamFilter(passesUsage: false)
        var out = ByteBuffer()
        let piece = ByteBuffer(repeating: UInt8(ascii: "x"), count: 100_000)
        for _ in 0..<30 { filter.feed(piece, into: &out) }
        #expect(out.readableBytes > 1_900_000)
        filter.finish(into: &out)
        #expect(out.readableBytes == 3_000_000)
    }

    @Test(arguments: [
        (
            #"{"choices":[{"text":"\"usage\":{\"prompt_tokens\":9}"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
            3, 4, 0
        ),
        (
            #"{"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens": 1}}"#,
            5, 1, 2
        ),
        (
            #"…cut":1,"usage":{"prompt_tokens":8,"total_tokens":8,"completion_tokens":0,"prompt_tokens_details":null}}"#,
            8, 0, 0
        ),
        (
            #"{"usage" : {"prompt_tokens":8,"completion_tokens":3},"prompt_logprobs":[{"1":{"decoded_token":"usage"}},["usage"]]}"#,
            8, 3, 0
        ),
    ])
    func useInAWholeAnswer(_ text: String, prompt: Int, completion: Int, cached: Int) {
        let use = Array(text.utf8).withUnsafeBytes { TokenUse(lastIn: $0) }
        #expect(use == TokenUse(prompt: prompt, completion: completion, cached: cached))
    }

    @Test(arguments: ["", "{}", #"{"usage":null}"#, #"{"usage":{"prompt_tokens":1"#, #"{"a":"\"usage\":{}"}"#])
    func noUse(_ text: String) {
        #expect(Array(text.utf8).withUnsafeBytes { TokenUse(lastIn: $0) } == nil)
    }

    /// Pieces that never end where an event does.
    @Test func whatWasReadIsNotKept() {
        var buffer = ByteBuffer()
        var filter = EventStreamFilter(passesUsage: false)
        let event = "data: \(String(repeating: "x", count: 992))\n\n"
        #expect(event.utf8.count == 1_000)
        let stream = ByteBuffer(string: String(repeating: event, count: 777))
        var sent = 0
        for _ in 0..<40 {
            for start in stride(from: 0, to: stream.readableBytes, by: 777) {
                guard let bytes = stream.getBytes(at: start, length: 777) else { break }
                // A buffer of its own, as every read has.
                let piece = ByteBuffer(bytes: bytes)
                var out = ByteBuffer()
                filter.feed(piece, into: &out)
                sent += out.readableBytes
                buffer.receive(piece)
                // All but a few bytes, as of a request whose rest has not come.
                buffer.moveReaderIndex(forwardBy: buffer.readableBytes - min(buffer.readableBytes, 100))
                #expect(buffer.storageCapacity < 1 << 17)
                #expect(filter.kept < 1 << 17)
            }
        }
        #expect(sent == 40 * stream.readableBytes)
    }
}
