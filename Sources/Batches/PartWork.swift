import Gateway
import HTTPTransport
import Ledger
import ObjectStorage
import Pipeline
import Synchronization

extension BatchStore {
    /// A line of a part with what it asks.
    struct Request {
        let number: Int
        let bytes: [UInt8]
        let line: BatchLine
    }

    /// The lines of a part.
    func lines(of part: BatchPart, in batch: Batch) async throws -> [Request] {
        let bytes = try await client.get(
            bucket: bucket, key: key(file: batch.inputFile), range: .bytes(offset: part.offset, count: part.bytes),
            upTo: Int(part.bytes))
        var splitter = LineSplitter(firstLine: part.firstLine, offset: part.offset)
        var lines: [LineSplitter.Line] = []
        splitter.feed(bytes) { lines.append($0) }
        if let last = splitter.finish() { lines.append(last) }
        return try lines.filter { !$0.isBlank }.map { line in
            Request(
                number: line.number, bytes: line.bytes,
                line: try BatchLine(line.bytes, line: line.number, endpoint: batch.endpoint))
        }
    }
}

/// What became of a line.
enum BatchAnswer: Sendable {
    /// The gateway's answer, whatever it says.
    /// - Parameter isFree: whether it was there already.
    case answered(status: Int, requestID: String, body: [UInt8], isFree: Bool)
    /// It was not asked, or never answered.
    case none(code: String, message: String)

    static func unasked(_ request: BatchStore.Request, batch: Batch, code: String) -> BatchAnswer {
        .none(
            code: code,
            message: code == "batch_expired"
                ? "the batch's window was over before this request was answered"
                : "the batch was cancelled before this request was answered")
    }

    var isSuccess: Bool {
        if case .answered(200..<300, _, _, _) = self { return true }
        return false
    }

    /// As a line of an output or error file.
    func line(of request: BatchStore.Request, in batch: Batch) -> [UInt8] {
        let id = JSONValue.string("batch_req_\(batch.id.dropFirst(6))_\(request.number)").canonicalJSON
        let name = JSONValue.string(request.line.customID).canonicalJSON
        var out = Array("{\"id\":\(id),\"custom_id\":\(name),\"response\":".utf8)
        switch self {
        case .answered(let status, let requestID, let body, _):
            out += Array(
                "{\"status_code\":\(status),\"request_id\":\(JSONValue.string(requestID).canonicalJSON),\"body\":".utf8)
            out += Self.oneLine(body)
            out += Array("},\"error\":null}\n".utf8)
        case .none(let code, let message):
            let error = JSONValue.object(["code": .string(code), "message": .string(message)]).canonicalJSON
            out += Array("null,\"error\":\(error)}\n".utf8)
        }
        return out
    }

    /// A JSON text without line ends; what is none becomes a string.
    private static func oneLine(_ body: [UInt8]) -> [UInt8] {
        let isJSON = body.withUnsafeBytes { bytes in
            var cursor = JSONCursor(bytes)
            do {
                try cursor.skipValue()
                try cursor.end()
                return true
            } catch {
                return false
            }
        }
        guard isJSON else { return Array(JSONValue.string(String(decoding: body, as: UTF8.self)).canonicalJSON.utf8) }
        // Bare ones stand between values only.
        return body.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
    }
}

/// Asks the lines of a part, some at a time.
struct PartWork: Sendable {
    struct Answers {
        var output: [UInt8] = []
        var errors: [UInt8] = []
        var sum = Batch.Sum()
    }

    let runner: BatchRunner
    let held: HeldPart
    private let progress = Progress()
    private let ending = Ending()

    init(runner: BatchRunner, held: HeldPart) {
        self.runner = runner
        self.held = held
    }

    /// The batch is over: what has no answer yet gets none.
    /// - Parameter code: why.
    func end(_ code: String) { ending.end(code) }

    /// The lines that are asked, to be left when the batch ends before them.
    private final class Ending: Sendable {
        private let state = Mutex<(code: String?, tasks: [Int: Task<BatchAnswer, any Error>])>((nil, [:]))

        /// Why the batch is over, once it is.
        var code: String? { state.withLock { $0.code } }

        func end(_ code: String) {
            let tasks = state.withLock { state in
                state.code = state.code ?? code
                defer { state.tasks = [:] }
                return state.tasks
            }
            for task in tasks.values { task.cancel() }
        }

        /// Does something that the end breaks off.
        /// - Returns: nil where it did.
        func until(
            _ number: Int, _ body: @escaping @Sendable () async throws -> BatchAnswer
        ) async throws -> BatchAnswer? {
            let task = Task { try await body() }
            let isOver = state.withLock { state in
                if state.code == nil { state.tasks[number] = task }
                return state.code != nil
            }
            if isOver { task.cancel() }
            defer { state.withLock { $0.tasks[number] = nil } }
            do {
                return try await withTaskCancellationHandler {
                    try await task.value
                } onCancel: {
                    task.cancel()
                }
            } catch  where code != nil && !Task.isCancelled {
                return nil
            }
        }
    }

    /// When a line of the part was answered last, and which ones are asked now.
    private final class Progress: Sendable {
        private struct State {
            var last = ContinuousClock.now
            var patience = PartWork.patience
            var asked: [Int: ContinuousClock.Instant] = [:]
        }

        private let state = Mutex(State())

        func began(_ line: Int) { state.withLock { $0.asked[line] = .now } }
        func ended(_ line: Int) { state.withLock { $0.asked[line] = nil } }

        /// What was answered would be lost with the part: from now on it is waited for longer.
        func note() {
            state.withLock { state in
                state.last = .now
                state.patience = PartWork.longPatience
            }
        }

        /// Whether nothing was answered for so long, and nothing is about to be.
        var isHopeless: Bool {
            let now = ContinuousClock.now
            return state.withLock { state in
                now - state.last > state.patience
                    && state.asked.values.allSatisfy { now - $0 < PartWork.longestWait }
            }
        }
    }

    /// An answer's bytes at most.
    private static let answerLimit = 32 << 20
    /// For so long a part waits for its first answer; then another one has its turn.
    private static let patience = Duration.seconds(90)
    /// For so long it waits for the next one: where engines are slow and busy, a line may take minutes to get its place.
    private static let longPatience = Duration.seconds(900)
    /// A request that has no answer for so long is no longer in the gateway's queue: an engine works on it.
    private static let longestWait = Duration.seconds(45)
    /// How often a request is sent that a model server fails to answer.
    private static let attempts = 3

    func run() async throws -> Answers {
        let requests = try await runner.store.lines(of: held.part, in: held.batch)
        var answers = [BatchAnswer?](repeating: nil, count: requests.count)
        try await withThrowingTaskGroup(of: (Int, BatchAnswer).self) { group in
            let width = max(1, runner.configuration.requests / 2)
            for index in requests.indices {
                if index >= width, let (done, answer) = try await group.next() { answers[done] = answer }
                let (request, work) = (requests[index], self)
                group.addTask {
                    let answer = try await work.ending.until(index) { try await work.ask(request) }
                    let code = work.ending.code ?? "batch_cancelled"
                    return (index, answer ?? .unasked(request, batch: work.held.batch, code: code))
                }
            }
            for try await (done, answer) in group { answers[done] = answer }
        }
        var result = Answers()
        for (index, request) in requests.enumerated() {
            guard let answer = answers[index] else { continue }
            // Once is enough: answers may be long.
            answers[index] = nil
            let line = answer.line(of: request, in: held.batch)
            if answer.isSuccess {
                result.output += line
                result.sum.completed += 1
            } else {
                result.errors += line
                result.sum.failed += 1
            }
            count(answer, of: request, in: &result.sum)
        }
        return result
    }

    private func count(_ answer: BatchAnswer, of request: BatchStore.Request, in sum: inout Batch.Sum) {
        guard case .answered(200..<300, _, let body, false) = answer,
            let use = body.withUnsafeBytes({ TokenUse(lastIn: $0) })
        else { return }
        sum.promptTokens += use.prompt
        sum.cachedTokens += use.cached
        sum.completionTokens += use.completion
        sum.cost += runner.prices.price(of: String(request.line.model.prefix { $0 != "@" && $0 != ":" })).cost(use)
    }

    /// Asks one line until there is an answer that will not change by asking again.
    private func ask(_ request: BatchStore.Request) async throws -> BatchAnswer {
        var failures = 0
        var delay = Duration.milliseconds(500)
        while true {
            progress.began(request.number)
            let reply = try await send(request)
            progress.ended(request.number)
            switch reply {
            case .final(let answer):
                progress.note()
                return answer
            case .busy where progress.isHopeless: throw NoRoom()
            case .busy: break
            case .failed(let answer):
                failures += 1
                if failures >= Self.attempts { return answer }
            }
            try await Task.sleep(for: delay * Double.random(in: 0.5..<1))
            delay = min(delay * 2, .seconds(10))
        }
    }

    /// There was no room for a request.
    struct NoRoom: Error {}

    private enum Reply {
        case final(BatchAnswer)
        /// There is no room at present: that is what batches wait for.
        case busy
        /// A model server failed.
        case failed(BatchAnswer)
    }

    private func send(_ request: BatchStore.Request) async throws -> Reply {
        let call = HTTPRequest(
            method: "POST", url: runner.door.url + held.batch.endpoint,
            headers: [
                HTTPHeader("authorization", runner.door.authorization(held.batch.key)),
                HTTPHeader("content-type", "application/json"),
            ], body: .bytes(Array(request.bytes[request.line.body])),
            timeouts: HTTPTimeouts(
                connect: .seconds(5), firstByte: .seconds(1_000), idle: .seconds(300), total: .seconds(1_200)),
            retry: .none, proxy: .direct)
        do {
            let response = try await runner.transport.send(call)
            let body = try await response.body.collect(upTo: Self.answerLimit)
            let answer = BatchAnswer.answered(
                status: response.status, requestID: response.headers.values("x-request-id").first ?? "", body: body,
                isFree: !response.headers.values("x-martlet-cache").isEmpty)
            let isUnknown = response.status == 404 && body.holds("\"model_not_found\"")
            if !isUnknown { runner.unknownModels.found(request.line.model, in: held.batch) }
            switch response.status {
            // A budget that is used up does not fill while one waits; all other limits are of the moment.
            case 429: return body.holds("insufficient_quota") ? .final(answer) : .busy
            case 503: return .busy
            case 500, 502, 504: return .failed(answer)
            case 404 where isUnknown:
                let model = request.line.model
                let isAwaited = try await runner.unknownModels.isAwaited(
                    model, in: held.batch, for: runner.configuration.modelPatience
                ) {
                    try await runner.ledger.hasServed(model: String(model.prefix { $0 != "@" && $0 != ":" }))
                }
                return isAwaited ? .busy : .final(answer)
            default: return .final(answer)
            }
        } catch let error as HTTPError {
            if error.code == .bodyTooLarge {
                return .final(
                    .none(code: "answer_too_large", message: "the answer has more than \(Self.answerLimit) bytes"))
            }
            // The gateway is this very process: it ends, or has no room for one more connection.
            return .busy
        }
    }
}

extension [UInt8] {
    fileprivate func holds(_ word: String) -> Bool { firstRange(of: Array(word.utf8)) != nil }
}

/// Since when batches ask for models that the gateway does not know.
final class UnknownModels: Sendable {
    private struct Name: Hashable {
        let batch: String
        let model: String
    }

    private let since = Mutex<[Name: ContinuousClock.Instant]>([:])
    private static let limit = 10_000

    /// Whether it may still come.
    /// - Parameter isReal: whether there was such a model once; asked the first time only.
    func isAwaited(
        _ model: String, in batch: Batch, for patience: Duration, isReal: () async throws -> Bool
    ) async rethrows -> Bool {
        let name = Name(batch: batch.id, model: model)
        if let known = since.withLock({ $0[name] }) { return ContinuousClock.now - known < patience }
        let (isReal, now) = (try await isReal(), ContinuousClock.now)
        return since.withLock { since in
            // Those of batches that are over; whoever asks for more made them up.
            if since.count >= Self.limit { since = since.filter { now - $0.value < .seconds(86_400) } }
            guard since.count < Self.limit else { return false }
            since[name] = isReal ? now : now - .seconds(86_400)
            return isReal && patience > .zero
        }
    }

    func found(_ model: String, in batch: Batch) {
        since.withLock { $0[Name(batch: batch.id, model: model)] = nil }
    }
}
