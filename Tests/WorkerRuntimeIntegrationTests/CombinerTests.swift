import Synchronization
import TestFleet
import Testing
import WorkerRuntime

/// One request for what several callers want at once.
@Suite struct CombinerTests {
    private struct Refused: Error {}

    /// Requests that wait for the gate, and what each was for.
    private final class Server: Sendable {
        let gate = Gate()
        private let requests = Mutex<[[Int]]>([])

        var seen: [[Int]] { requests.withLock(\.self) }

        /// Doubles what is even and refuses what is odd.
        func answer(_ items: [Int]) async -> [Result<Int, any Error>] {
            requests.withLock { $0.append(items) }
            try? await gate.pass()
            return items.map { $0.isMultiple(of: 2) ? .success($0 * 2) : .failure(Refused()) }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aLoneCallerIsAnsweredAtOnce() async throws {
        let server = Server()
        server.gate.open()
        let combiner = Combiner<Int, Int>(limit: 10, perform: server.answer)
        #expect(try await combiner.ask(for: 2) == 4)
        #expect(try await combiner.ask(for: 4) == 8)
        await #expect(throws: Refused.self) { try await combiner.ask(for: 5) }
        #expect(server.seen == [[2], [4], [5]])
    }

    @Test(.timeLimit(.minutes(4)))
    func thoseWhoComeMeanwhileGoTogetherUpToTheLimit() async throws {
        let server = Server()
        let combiner = Combiner<Int, Int>(limit: 10, perform: server.answer)
        let answers = try await withThrowingTaskGroup(of: (Int, Int?).self) { group in
            group.addTask { (0, try await combiner.ask(for: 0)) }
            try await server.gate.waitForArrivals(1)
            for item in 1...12 { group.addTask { (item, try? await combiner.ask(for: item, cost: 3)) } }
            group.addTask { (14, try await combiner.ask(for: 14, cost: 11)) }
            try await eventually { combiner.waiting == 13 }
            server.gate.open()
            return try await group.reduce(into: [Int: Int?]()) { $0[$1.0] = $1.1 }
        }
        #expect(answers.count == 14)
        for (item, answer) in answers { #expect(answer == (item.isMultiple(of: 2) ? item * 2 : nil)) }
        #expect(server.seen.first == [0])
        #expect(server.seen.flatMap(\.self).sorted() == Array(0...12) + [14])
        for request in server.seen {
            let cost = request.reduce(0) { $0 + ($1 == 14 ? 11 : $1 == 0 ? 1 : 3) }
            #expect(cost <= 10 || request == [14])
        }
        #expect(server.seen.contains { $0.count == 3 })
    }

    @Test(.timeLimit(.minutes(4)))
    func aCancelledCallerLeavesAndTheOthersStay() async throws {
        let server = Server()
        let combiner = Combiner<Int, Int>(limit: 10, perform: server.answer)
        let first = Task { try await combiner.ask(for: 2) }
        try await server.gate.waitForArrivals(1)
        let second = Task { try await combiner.ask(for: 4) }
        let third = Task { try await combiner.ask(for: 6) }
        try await eventually { combiner.waiting == 2 }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        server.gate.open()
        #expect(try await first.value == 4)
        #expect(try await third.value == 12)
        #expect(server.seen == [[2], [6]], "what nobody waits for is not asked for")
        let late = Task {
            try? await Task.sleep(for: .seconds(60))
            return try await combiner.ask(for: 8)
        }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
        #expect(try await combiner.ask(for: 10) == 20)
    }
}
