import NIOCore
import Synchronization

/// Answers to requests that have one right answer, for those who ask the same again.
///
/// Two generations: what is asked for moves to the young one; when that is full it becomes the old one, and the old one goes.
final class AnswerCache: Sendable {
    /// What must be the same: the version, the team, the path and the body, byte by byte.
    struct Question: Hashable, Sendable {
        let deployment: Int
        let team: String
        let endpoint: Endpoint
        let body: ByteBuffer
    }

    private struct Entry {
        let answer: ByteBuffer
        let expires: NIODeadline
    }

    private struct State {
        var young: [Question: Entry] = [:]
        var old: [Question: Entry] = [:]
        var youngBytes = 0
        var oldBytes = 0
    }

    /// How long an answer is kept.
    static let lifetime = TimeAmount.hours(1)
    /// What an entry takes beside its bytes, about.
    private static let overhead = 256

    /// Bytes of questions and answers at most; 0 keeps nothing.
    let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int) {
        self.capacity = capacity
    }

    func find(_ question: Question, now: NIODeadline = .now()) -> ByteBuffer? {
        guard capacity > 0 else { return nil }
        return state.withLock { state in
            if let entry = state.young[question] { return entry.expires > now ? entry.answer : nil }
            guard let entry = state.old.removeValue(forKey: question) else { return nil }
            state.oldBytes -= Self.size(question, entry.answer)
            guard entry.expires > now else { return nil }
            add(question, entry, to: &state)
            return entry.answer
        }
    }

    /// Keeps an answer; large ones would drive out too many others.
    func keep(_ answer: ByteBuffer, to question: Question, now: NIODeadline = .now()) {
        guard Self.size(question, answer) <= capacity / 8 else { return }
        // Copies: a slice would keep all of what it was received with.
        let own = Question(
            deployment: question.deployment, team: question.team, endpoint: question.endpoint,
            body: ByteBuffer(bytes: question.body.readableBytesView))
        let entry = Entry(answer: ByteBuffer(bytes: answer.readableBytesView), expires: now + Self.lifetime)
        state.withLock { state in
            if let known = state.young.removeValue(forKey: own) { state.youngBytes -= Self.size(own, known.answer) }
            if let known = state.old.removeValue(forKey: own) { state.oldBytes -= Self.size(own, known.answer) }
            add(own, entry, to: &state)
        }
    }

    var count: Int { state.withLock { $0.young.count + $0.old.count } }
    var bytes: Int { state.withLock { $0.youngBytes + $0.oldBytes } }

    private func add(_ question: Question, _ entry: Entry, to state: inout State) {
        let size = Self.size(question, entry.answer)
        if state.youngBytes + size > capacity / 2 {
            (state.old, state.oldBytes) = (state.young, state.youngBytes)
            (state.young, state.youngBytes) = ([:], 0)
        }
        state.young[question] = entry
        state.youngBytes += size
    }

    private static func size(_ question: Question, _ answer: ByteBuffer) -> Int {
        question.body.readableBytes + answer.readableBytes + overhead
    }
}
