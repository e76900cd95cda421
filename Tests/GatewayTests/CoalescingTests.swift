import NIOCore
import Testing

@testable import Gateway

/// What decides over joining requests, and what divides their answers.
@Suite struct CoalescingTests {
    private static func moment(_ seconds: Double) -> NIODeadline { .uptimeNanoseconds(UInt64(seconds * 1e9)) }

    /// Runs a trial at so many answers a second with and without joining; the moment of its end.
    private static func run(
        _ trial: inout CoalescingTrial, from start: Double, on: Double, off: Double, seconds: Double = 10
    ) -> Bool {
        var now = start
        while now < start + seconds {
            now += 1 / (trial.isOn ? on : off)
            trial.ended(moment(now), sent: moment(now), isWaiting: true)
        }
        return trial.isOn
    }

    @Test(arguments: [(200.0, 100.0, true), (100.0, 100.0, false), (105.0, 100.0, false), (50.0, 100.0, false)])
    func joiningIsOnWhereItWins(on: Double, off: Double, isOn: Bool) {
        var trial = CoalescingTrial()
        #expect(!trial.isOn)
        #expect(Self.run(&trial, from: 1, on: on, off: off) == isOn)
        // It holds for minutes, and is then tried again.
        #expect(Self.run(&trial, from: 200, on: off, off: on) == isOn)
        #expect(Self.run(&trial, from: 400, on: off, off: on) == (off >= on * 1.1))
    }

    @Test func aLoadThatGrowsFavoursNeither() {
        var trial = CoalescingTrial()
        var now = 1.0
        // Twice as fast at the end as at the beginning, joined or not.
        while now < 8 {
            now += 1 / (100 + 15 * now)
            trial.ended(Self.moment(now), sent: Self.moment(now), isWaiting: true)
        }
        #expect(!trial.isOn)
    }

    /// A machine that is slow for a moment, whatever is tried in it.
    @Test(arguments: 0..<6) func oneSpanDecidesNothing(slow: Int) {
        var trial = CoalescingTrial()
        var now = 1.0
        while now < 12 {
            now += (1 + 1.05 * Double(slow)..<2 + 1.05 * Double(slow)).contains(now) ? 1 / 40 : 1 / 120
            trial.ended(Self.moment(now), sent: Self.moment(now), isWaiting: true)
        }
        #expect(!trial.isOn)
    }

    @Test func nothingIsLearntWithoutWaiting() {
        var trial = CoalescingTrial()
        for step in 0..<1_000 {
            trial.ended(
                Self.moment(1 + Double(step) / 100), sent: Self.moment(1 + Double(step) / 100), isWaiting: false)
        }
        #expect(!trial.isOn)
        for step in 0..<150 {
            trial.ended(
                Self.moment(20 + Double(step) / 100), sent: Self.moment(20 + Double(step) / 100), isWaiting: true)
        }
        trial.ended(Self.moment(22), sent: Self.moment(22), isWaiting: false)
        #expect(!trial.isOn)
        // Not even where it would win: what comes after is another load.
        for step in 0..<30 {
            trial.ended(
                Self.moment(23 + Double(step) / 100), sent: Self.moment(23 + Double(step) / 100), isWaiting: false)
        }
        #expect(!trial.isOn)
        // A few answers say nothing either.
        #expect(!Self.run(&trial, from: 30, on: 10, off: 2, seconds: 30))
    }

    /// Joining empties the queue, and would otherwise end its own trial.
    @Test func anEmptyQueueMeansNothingWhereRequestsAreJoined() {
        var trial = CoalescingTrial()
        var now = 1.0
        trial.ended(Self.moment(now), sent: Self.moment(now), isWaiting: true)
        while now < 10 {
            now += trial.isOn ? 1 / 400 : 1 / 50
            trial.ended(Self.moment(now), sent: Self.moment(now), isWaiting: !trial.isOn)
        }
        #expect(trial.isOn)
        // By then it is decided, for minutes.
        trial.ended(Self.moment(now + 100), sent: Self.moment(now + 100), isWaiting: true)
        #expect(trial.isOn)
    }

    /// An upstream that takes one call at a time, whatever it holds, and has many in hand: what was sent before a span shows
    /// in it for longer than it lasts.
    @Test func whatIsStillInHandIsNotCounted() {
        var trial = CoalescingTrial()
        var now = 1.0
        var calls = [(answers: Int, sent: Double)](repeating: (1, now), count: 128)
        while now < 60 {
            now += 0.02
            let call = calls.removeFirst()
            for _ in 0..<call.answers {
                trial.ended(Self.moment(now), sent: Self.moment(call.sent), isWaiting: !trial.isOn)
            }
            calls.append((trial.isOn ? 2 : 1, now))
        }
        #expect(trial.isOn)
        trial.ended(Self.moment(now + 60), sent: Self.moment(now + 60), isWaiting: true)
        #expect(trial.isOn)
    }

    /// A span that ends with a call that took nearly all of it is longer than the others, and no faster for that.
    @Test func speedsAreComparedNotCounts() {
        var trial = CoalescingTrial()
        var now = 1.0
        trial.ended(Self.moment(now), sent: Self.moment(now), isWaiting: true)
        while now < 60 {
            let (answers, seconds) = trial.isOn ? (16, 0.95) : (1, 1.0 / 24)
            let sent = now
            now += seconds
            for _ in 0..<answers { trial.ended(Self.moment(now), sent: Self.moment(sent), isWaiting: true) }
        }
        #expect(!trial.isOn)
        trial.ended(Self.moment(now + 60), sent: Self.moment(now + 60), isWaiting: true)
        #expect(!trial.isOn)
    }

    @Test func whatCannotBeDividedStaysOff() {
        var trial = CoalescingTrial()
        trial.giveUp()
        #expect(!Self.run(&trial, from: 1, on: 200, off: 100, seconds: 1_000))
    }

    private static func split(
        _ text: String, endpoint: Endpoint = .completions, weights: [Int] = [1, 1], answers: Int = 1
    ) throws -> [String] {
        try Array(text.utf8).withUnsafeBytes {
            try AnswerSplit.split($0, endpoint: endpoint, weights: weights, answers: answers)
        }
    }

    private static func choice(_ index: Int, _ text: String, tokens: Int, prompt: Int) -> String {
        let numbers = (0..<tokens).map(String.init).joined(separator: ", ")
        let asked = (0..<prompt).map(String.init).joined(separator: ",")
        return
            #"{"index":\#(index),"text":"\#(text)","token_ids":[\#(numbers)],"prompt_token_ids":[\#(asked)],"stop":null}"#
    }

    @Test func answersAndUseAreDivided() throws {
        let choices = [
            Self.choice(0, "a", tokens: 3, prompt: 5), Self.choice(1, "b", tokens: 0, prompt: 5),
            Self.choice(3, "d", tokens: 4, prompt: 2), Self.choice(2, #"\"c\",["#, tokens: 1, prompt: 2),
        ]
        let text =
            #"{"id":"x","model":"m","choices":[\#(choices.joined(separator: ", "))],"#
            + #""usage":{"prompt_tokens":7,"total_tokens":15,"completion_tokens":8},"created":5}"#
        #expect(
            try Self.split(text, answers: 2) == [
                #"{"id":"x-0","model":"m","created":5,"choices":[{"index":0,"text":"a","stop":null},"#
                    + #"{"index":1,"text":"b","stop":null}],"#
                    + #""usage":{"prompt_tokens":5,"total_tokens":8,"completion_tokens":3}}"#,
                #"{"id":"x-1","model":"m","created":5,"choices":[{"index":1,"text":"d","stop":null},"#
                    + #"{"index":0,"text":"\"c\",[","stop":null}],"#
                    + #""usage":{"prompt_tokens":2,"total_tokens":7,"completion_tokens":5}}"#,
            ])
    }

    @Test func embeddingsShareTheTokensByWeight() throws {
        let text =
            #"{"object":"list","data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":"AAA"},"#
            + #"{"index":2,"embedding":[]}],"usage":{"prompt_tokens":10,"total_tokens":10}}"#
        let bodies = try Self.split(text, endpoint: .embeddings, weights: [1, 1, 1])
        #expect(
            bodies == [
                #"{"object":"list","data":[{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#,
                #"{"object":"list","data":[{"index":0,"embedding":"AAA"}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#,
                #"{"object":"list","data":[{"index":0,"embedding":[]}],"usage":{"prompt_tokens":3,"total_tokens":3}}"#,
            ])
    }

    @Test(arguments: [
        "", "[]", "{}", #"{"choices":[]}"#, #"{"choices":[{"index":0,"text":"a"},{"index":1,"text":"b"}]}"#,
        #"{"choices":[{"text":"a","token_ids":[1]},{"text":"b","token_ids":[1]}]}"#,
        #"{"choices":[{"index":9,"token_ids":[1],"prompt_token_ids":[1]},{"index":1,"token_ids":[1],"prompt_token_ids":[1]}]}"#,
        // The tokens that are told are not those that were counted.
        #"{"choices":[{"index":0,"token_ids":[1],"prompt_token_ids":[1]},{"index":1,"token_ids":[1],"prompt_token_ids":[1]}],"usage":{"prompt_tokens":2,"completion_tokens":3}}"#,
    ]) func whatIsNoSuchAnswerIsRefused(text: String) {
        #expect(throws: (any Error).self) { try Self.split(text) }
    }

    private static func question(_ body: String, deployment: Int = 0, team: String = "t") -> AnswerCache.Question {
        AnswerCache.Question(
            deployment: deployment, team: team, endpoint: .completions, body: ByteBuffer(string: body))
    }

    @Test func answersAreKeptForTheirTimeAndTheirTeam() {
        let cache = AnswerCache(capacity: 100_000)
        let now = Self.moment(5)
        cache.keep(ByteBuffer(string: "a"), to: Self.question("q"), now: now)
        #expect(cache.find(Self.question("q"), now: now) == ByteBuffer(string: "a"))
        #expect(cache.find(Self.question("q", team: "u"), now: now) == nil)
        #expect(cache.find(Self.question("q", deployment: 1), now: now) == nil)
        #expect(cache.find(Self.question("Q"), now: now) == nil)
        #expect(cache.find(Self.question("q"), now: now + AnswerCache.lifetime) == nil)
        #expect(AnswerCache(capacity: 0).find(Self.question("q")) == nil)
    }

    @Test func whatIsAskedForStaysAndTheRestGoes() {
        let cache = AnswerCache(capacity: 100_000)
        let answer = ByteBuffer(repeating: 1, count: 700)
        for index in 0..<1_000 {
            cache.keep(answer, to: Self.question("\(index)"))
            _ = cache.find(Self.question("0"))
            #expect(cache.bytes <= 100_000)
        }
        #expect(cache.find(Self.question("0")) == answer && cache.find(Self.question("1")) == nil)
        #expect(cache.find(Self.question("999")) == answer)
        cache.keep(ByteBuffer(repeating: 1, count: 50_000), to: Self.question("large"))
        #expect(cache.find(Self.question("large")) == nil)
    }

    private static func key(_ body: String, _ endpoint: Endpoint = .completions, key: Int = 1) throws -> JointKey? {
        let inspection = try Array(body.utf8).withUnsafeBytes { try BodyInspection($0) }
        return JointKey(
            endpoint, inspection, ByteBuffer(string: body), deployment: 0, key: key, loop: 7, isBatch: false,
            isJoining: true)
    }

    @Test func onlyWhatDiffersInItsPromptIsSimilar() throws {
        func body(_ prompt: String, _ rest: String = "") -> String { #"{"model":"m","prompt":\#(prompt)\#(rest)}"# }
        let first = try #require(try Self.key(body(#""a""#)))
        #expect(first.identical == 0 && first.similar != 0)
        #expect(try Self.key(body(#""longer""#))?.similar == first.similar)
        #expect(try Self.key(body(#""a""#, #","max_tokens":5"#))?.similar != first.similar)
        #expect(try Self.key(body(#""a""#), key: 2)?.similar != first.similar)
        #expect(try Self.key(body("[1,2]"))?.similar != first.similar)
        #expect(try Self.key(body("[1,2]"))?.similar == (try Self.key(body("[3]"))?.similar))
        for alone in [
            body(#"["a"]"#), body(#""a""#, #","stream":true"#), body(#""a""#, #","return_token_ids":true"#),
            body("[[1],[2]]"), body("null"),
        ] {
            #expect(try Self.key(alone) == nil, "\(alone)")
        }
        let chat = #"{"model":"m","messages":[{"role":"user","content":"a"}]}"#
        #expect(try Self.key(chat, .chatCompletions) == nil)
    }

    @Test func onlyOneRightAnswerIsShared() throws {
        let greedy = #"{"model":"m","messages":[{"role":"user","content":"a"}],"temperature":0}"#
        let key = try #require(try Self.key(greedy, .chatCompletions))
        #expect(key.identical != 0 && key.similar == 0)
        #expect(try Self.key(greedy.replacing(":0}", with: ":0.0}"), .chatCompletions)?.identical != key.identical)
        #expect(try Self.key(greedy.replacing(":0}", with: ":0.5}"), .chatCompletions) == nil)
        #expect(try Self.key(#"{"model":"m","input":"a"}"#, .embeddings)?.identical != 0)
    }

    @Test func takingOutOfTurnIsPaidForLater() {
        var queue = FairQueue<Int>(levels: 1)
        for index in 0..<10 {
            queue.append(.init(id: UInt64(index), key: 1, cost: 100, element: index), level: 0)
            queue.append(.init(id: UInt64(100 + index), key: 2, cost: 100, element: 100 + index), level: 0)
        }
        let taken = queue.take(key: 1, level: 0, limit: 4, cost: 350) { $0 % 2 == 1 }
        #expect(taken.map(\.element) == [1, 3, 5])
        #expect(queue.count == 17 && queue.cost == 1_700)
        // It is this one's turn, and the other one goes first all the same.
        #expect((0..<2).compactMap { _ in queue.next()?.element } == [100, 101])
        var left: [Int] = []
        while let entry = queue.next() { left.append(entry.element) }
        #expect(left.count == 15 && queue.cost == 0)
        #expect(left.filter { $0 < 100 } == [0, 2, 4, 6, 7, 8, 9])
    }
}
