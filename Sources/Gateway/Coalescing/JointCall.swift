import HTTPWire
import Logging
import Metrics
import NIOCore
import Pipeline

/// One call to a replica that answers several requests: equal ones, and such that differ in their prompts. Used on one
/// event loop.
///
/// It belongs to none of them: each may go at any time, and the call ends when nobody is left. What it cannot answer for all
/// is asked again for each alone, so that every request gets the answer or the error that it would have got by itself.
final class JointCall: UpstreamReceiver {
    private struct Member {
        let exchange: Exchange
        /// Which of the prompts is its.
        let prompt: Int
    }

    /// Requests with prompts of their own at most, and the tokens of these.
    static let promptLimit = 16
    static let tokenLimit = 8_192
    /// Bytes of an answer at most.
    private static let answerLimit = 32 << 20

    private let loop: LoopState
    private var grant: Admission.Grant?
    /// Where equal requests find the call.
    private var question: LoopState.Question?
    private var members: [Member] = []
    /// The requests whose prompts are asked, in their order.
    private var prompts: [ClientRequest] = []
    private var upstream: UpstreamConnection?
    private var status = 0
    private var sentAt = NIODeadline.now()
    private var answer = ByteBuffer()
    private var isOver = false
    /// Whether others need its place, before it was sent.
    private var isRecalled = false

    private init(_ loop: LoopState, _ grant: Admission.Grant) {
        self.loop = loop
        self.grant = grant
    }

    /// Begins a call for a request that has its place, and for those in the queue that can share it.
    /// - Returns: nil for a request that is answered by itself.
    static func begin(_ first: Exchange, _ grant: Admission.Grant) -> JointCall? {
        guard let key = first.request.joint, !first.isAlone else { return nil }
        let (loop, core) = (first.loop, first.core)
        let joins = core.coalescing.isOn(first.deployment.id)
        guard key.identical != 0 || joins else { return nil }
        let call = JointCall(loop, grant)
        call.add(first, prompt: 0)
        call.prompts = [first.request]
        if key.identical != 0 {
            var nothing: Admission.Grant?
            call.take(
                core.admission.gather(first.ask, limit: .max, tokens: .max, charging: &nothing) {
                    $0.identical == key.identical
                })
        }
        if joins, key.similar != 0 {
            let left = tokenLimit - first.ask.cost
            call.take(
                core.admission.gather(first.ask, limit: promptLimit - 1, tokens: left, charging: &call.grant) {
                    $0.similar == key.similar
                })
        }
        if key.identical != 0, call.prompts.count == 1 {
            let question = LoopState.Question(first)
            call.question = question
            loop.jointCalls[question] = call
        }
        return call
    }

    /// Adds those who waited; whoever only looked alike goes back.
    private func take(_ waiters: [any Admission.Waiter]) {
        for case let ticket as Exchange.Ticket in waiters {
            let exchange = ticket.waiting
            guard case .waiting = exchange.phase else { continue }
            if let same = prompts.firstIndex(where: { $0.isIdentical(to: exchange.request) }) {
                add(exchange, prompt: same)
            } else if prompts[0].isSimilar(to: exchange.request) {
                prompts.append(exchange.request)
                add(exchange, prompt: prompts.count - 1)
            } else {
                exchange.goAlone()
            }
        }
    }

    private func add(_ exchange: Exchange, prompt: Int) {
        members.append(Member(exchange: exchange, prompt: prompt))
        exchange.join(self)
    }

    /// Takes part in a call that is under way already.
    func share(_ exchange: Exchange) {
        loop.core.coalescing.shared.increment()
        add(exchange, prompt: 0)
        if upstream != nil { exchange.jointCallSent() }
    }

    /// Somebody goes.
    /// - Parameter outcome: what it says of the replica when nobody is left.
    func leave(_ exchange: Exchange, _ outcome: Admission.Outcome = .unknown) {
        members.removeAll { $0.exchange === exchange }
        // One that is too late for this one is no help to whoever comes now.
        if outcome == .failure { leaveQuestion() }
        guard members.isEmpty, !isOver else { return }
        upstream?.abort()
        end(outcome)
    }

    /// Others need the place of a batch: all of them wait again.
    /// - Returns: whether it has this place.
    func preempted(_ number: UInt64) -> Bool {
        guard !isOver, grant?.number == number else { return false }
        if let upstream {
            // What has begun to come is nearly there.
            guard status == 0 else { return true }
            upstream.abort()
            self.upstream = nil
            waitAgain()
        } else {
            isRecalled = true
        }
        return true
    }

    private func waitAgain() {
        let members = members
        end(.unknown)
        for member in members { member.exchange.leftJointCall() }
    }

    // MARK: The call

    func start() {
        guard let grant else { return }
        if prompts.count > 1 { loop.core.coalescing.joined.increment(by: prompts.count) }
        if members.count > prompts.count { loop.core.coalescing.shared.increment(by: members.count - prompts.count) }
        if let connection = loop.takeConnection(to: grant.replica) {
            send(on: connection)
            return
        }
        loop.connect(to: grant.replica) { [self] result in
            guard !isOver else {
                if case .success(let connection) = result { loop.keep(connection) }
                return
            }
            switch result {
            case .success(let connection): send(on: connection)
            case .failure: giveUp(.failure)
            }
        }
    }

    private func send(on connection: UpstreamConnection) {
        guard !isRecalled else {
            loop.keep(connection)
            waitAgain()
            return
        }
        upstream = connection
        sentAt = .now()
        for member in members { member.exchange.jointCallSent() }
        let request = prompts[0].encoded(
            for: connection.replica, ByteBufferAllocator(), joinedWith: prompts.dropFirst())
        connection.send(request, for: self)
    }

    func upstreamHead(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer) {
        status = head.status
        if let grant, grant.isTrial, status < 500 { loop.core.admission.answered(grant) }
    }

    func upstreamContent(_ content: ByteBuffer) {
        guard answer.readableBytes + content.readableBytes <= Self.answerLimit else {
            upstream?.abort()
            upstream = nil
            // Too much to keep; alone it passes through. That is no fault of the replica's.
            giveUp(.success)
            return
        }
        if answer.readableBytes == 0 { answer = content } else { answer.writeImmutableBuffer(content) }
    }

    func flush() {}

    func upstreamEnded(isCertain: Bool) {
        upstream = nil
        guard !isOver else { return }
        guard status == 200 else {
            // Whose fault it is shows when each asks alone; what only one asked is its answer.
            if prompts.count == 1, status < 500, status != 404, status != 405 {
                deliver([answer])
            } else {
                // What one of them may not ask is no fault of the replica's, nor of the others'.
                giveUp(status < 500 || status == 501 || status == 503 ? .success : .failure)
            }
            return
        }
        guard isCertain || Self.isWhole(answer) else {
            let members = members
            end(.failure)
            for member in members { member.exchange.jointFailed() }
            return
        }
        guard prompts.count > 1 else {
            if let question {
                loop.core.answers.keep(answer, to: question.cached)
            }
            deliver([answer])
            return
        }
        do {
            let bodies = try answer.withUnsafeReadableBytes { bytes in
                try AnswerSplit.split(
                    bytes, endpoint: prompts[0].endpoint,
                    weights: prompts.map(\.inspection.estimatedPromptTokens), answers: prompts[0].inspection.answers)
            }
            deliver(bodies.map { ByteBuffer(string: $0) })
        } catch {
            loop.core.coalescing.giveUp(prompts[0].deployment.id)
            loop.core.log.notice(
                "the model server's answers to several prompts cannot be divided; requests are no longer joined",
                metadata: ["model": "\(prompts[0].deployment.label)"])
            giveUp(.success)
        }
    }

    func upstreamFailed(_ error: GatewayError, canRetry: Bool, isStale: Bool) {
        upstream = nil
        guard !isOver else { return }
        if isStale, let grant { loop.dropIdle(to: grant.replica) }
        guard status == 0 else {
            // It had begun to answer: nothing is asked twice after that.
            let members = members
            end(.failure)
            for member in members { member.exchange.jointFailed() }
            return
        }
        giveUp(isStale ? .unknown : .failure)
    }

    /// Whether an answer that only the connection ended is one.
    private static func isWhole(_ answer: ByteBuffer) -> Bool {
        answer.withUnsafeReadableBytes { bytes in
            var cursor = JSONCursor(bytes)
            do {
                try cursor.skipValue()
                try cursor.end()
                return true
            } catch {
                return false
            }
        }
    }

    private func deliver(_ bodies: [ByteBuffer]) {
        let members = members
        var served: Admission.Served?
        if status == 200, bodies.count == 1, let body = bodies.first,
            let use = body.withUnsafeReadableBytes({ TokenUse(lastIn: $0) }), use.completion > 0
        {
            served = Admission.Served(start: sentAt, tokens: use.completion)
        }
        end(.success, served: served)
        for member in members { member.exchange.jointAnswer(status, bodies[member.prompt]) }
    }

    /// Each asks alone.
    private func giveUp(_ outcome: Admission.Outcome) {
        let members = members
        let failed = outcome == .failure ? grant?.replica : nil
        end(outcome)
        for member in members {
            // After a failure within the budget for further tries, as anybody.
            if failed == nil || loop.core.admission.mayRetry(member.exchange.deployment.id) {
                member.exchange.goAlone(without: failed)
            } else {
                member.exchange.jointFailed()
            }
        }
    }

    private func end(_ outcome: Admission.Outcome, served: Admission.Served? = nil) {
        isOver = true
        members = []
        leaveQuestion()
        if let grant { loop.core.admission.release(grant, outcome, served: served) }
        grant = nil
    }

    /// Equal requests find it no more.
    private func leaveQuestion() {
        if let question, loop.jointCalls[question] === self { loop.jointCalls[question] = nil }
    }
}
