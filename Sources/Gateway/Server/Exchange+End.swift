import Glibc
import HTTPWire
import Metrics
import NIOCore
import Pipeline
import Synchronization

extension Exchange {
    /// The client has gone: nobody waits for the answer any more.
    func cancel() {
        switch phase {
        case .over: return
        case .waiting(let id):
            // A place given meanwhile comes back by `granted`.
            _ = core.admission.leave(id, ask)
            settle(.cancelled)
        case .connecting: settle(.cancelled)
        case .joint(let call):
            settle(.cancelled)
            call.leave(self)
        case .sent, .answering:
            upstream?.abort()
            upstream = nil
            settle(.cancelled)
        }
    }

    /// Something took too long.
    func expire(_ now: NIODeadline) {
        switch phase {
        case .over, .connecting: return
        case .waiting(let id):
            guard core.admission.leave(id, ask) else { return }
            fail(
                .unavailable(
                    code: "queue_timeout", retryAfter: retryAfter(),
                    "no place at '\(deployment.label)' became free within \(timeouts.queue)"))
        case .joint(let call):
            call.leave(self, .failure)
            fail(
                .upstream(504, code: "first_token_timeout", "the model server did not answer in time"))
        case .sent where isHedged && hedge == nil && now < answerDeadline:
            deadline = answerDeadline
            hedge = Hedge.begin(self)
        case .sent where ask.preemptions > 0:
            // It had less time than any other, through no fault of the replica's.
            upstream?.abort()
            upstream = nil
            if let grant { core.admission.release(grant, .unknown) }
            grant = nil
            failPreempted()
        case .sent:
            upstream?.abort()
            upstream = nil
            fail(
                .upstream(
                    504, code: "first_token_timeout", "the model server did not begin to answer in time"))
        case .answering where isStalled:
            client.close()
        case .answering:
            upstream?.abort()
            let isTotal = now >= total
            upstreamFailed(
                .upstream(
                    504, code: isTotal ? "total_timeout" : "token_timeout",
                    isTotal
                        ? "the answer took longer than \(timeouts.total)"
                        : "the model server went silent in the middle of its answer"),
                canRetry: false, isStale: false)
        }
    }

    var isOver: Bool {
        if case .over = phase { return true }
        return false
    }

    func clientIsWritable() {
        guard isStalled else { return }
        isStalled = false
        deadline = min(total, .now() + TimeAmount(timeouts.betweenTokens))
        upstream?.resume()
    }

    func retryAfter() -> Int { core.admission.wait(of: deployment.id) }

    enum Outcome {
        case ended
        case cancelled
        case failed(GatewayError)

        var isCancelled: Bool {
            if case .cancelled = self { true } else { false }
        }
    }

    /// Whether a model server has it.
    private var isWorkedOn: Bool {
        switch phase {
        case .sent, .answering: true
        // A call waits for its connection, too.
        case .joint: sentAt > request.received
        case .waiting, .connecting, .over: false
        }
    }

    func fail(_ error: GatewayError) {
        status = error.status
        settle(.failed(error))
        client.answer(error, requestID: request.requestID)
        client.exchangeEnded()
    }

    func finish() {
        let end = giveBack(.ended)
        client.exchangeEnded()
        // The client need not wait for this.
        if let end { count(.ended, end) }
    }

    /// Gives everything back and writes down what was used; once.
    func settle(_ outcome: Outcome) {
        if let end = giveBack(outcome) { count(outcome, end) }
    }

    private struct End {
        let use: TokenUse
        let moment: NIODeadline
    }

    /// Gives back what others may have now, and writes down in the journal what was used.
    /// - Returns: nil where that was done before.
    private func giveBack(_ outcome: Outcome) -> End? {
        if case .over = phase { return nil }
        let isLeft = isWorkedOn && outcome.isCancelled
        phase = .over
        loop.lookout.requests -= 1
        hedge?.cancel()
        let (use, isPartial) = usedTokens(isLeft: isLeft)
        let cost = request.price.cost(use)
        // Before the place: whoever gets that may have the same key.
        if let key = request.key, let reservation = request.reservation {
            key.settle(reservation, tokens: use.prompt + use.completion, cost: cost)
        }
        if let grant {
            let isWhole = status == 200 && !isBroken && !isPartial && use.completion > 0
            core.admission.release(
                grant, replicaOutcome(outcome),
                served: isWhole ? Admission.Served(start: sentAt, tokens: use.completion) : nil)
        }
        grant = nil
        if let joint = request.joint, joint.similar != 0, !isFree, case .ended = outcome {
            core.coalescing.ended(deployment.id, sent: sentAt, isWaiting: core.admission.isWaiting(deployment.id))
        }
        slot?.finish(status: status, use: use, cost: cost, isPartial: isPartial)
        return End(use: use, moment: .now())
    }

    /// Tells whoever watches: the rollout's judge, the mirror, metrics.
    private func count(_ outcome: Outcome, _ end: End) {
        let use = end.use
        if let arm { record(arm, outcome, end) }
        if let refused, case .ended = outcome, status == 200 { recordFailure(of: refused) }
        if arm?.isMirrored == true, status == 200, !ask.isBatch, case .ended = outcome {
            core.mirror.withLock(\.self)?.copy(request.endpoint, request.body)
        }
        series.duration.recordNanoseconds((end.moment - request.received).nanoseconds)
        if use.prompt > 0 { series.promptTokens.increment(by: use.prompt) }
        if use.completion > 0 { series.completionTokens.increment(by: use.completion) }
        switch outcome {
        case .cancelled: series.cancelled.increment()
        case .failed(let error):
            core.metrics.refuse(error)
            // What a batch had no room for is asked again, and nobody ever hears of it.
            if ask.isBatch, error.isLackOfRoom { return }
            (error.status >= 500 ? series.serverErrors : series.clientErrors).increment()
        case .ended where status >= 500: series.serverErrors.increment()
        case .ended where status >= 400: series.clientErrors.increment()
        case .ended: series.requests.increment()
        }
    }

    /// What the end of the request says of its version, for the rollout's judge.
    private func record(_ arm: RolloutTable.Arm, _ outcome: Outcome, _ ending: End) {
        var sums = RolloutSums()
        switch outcome {
        case .cancelled: return
        case .ended where isFree: return
        case .failed(let error) where slot == nil || attempts == 0 || error.status < 500: return
        case .ended where status >= 400 && status < 500: return
        default: break
        }
        sums.requests = 1
        if isBroken || status >= 500 {
            sums.errors = 1
        } else {
            let (end, tokens) = (ending.moment, ending.use.completion)
            if tokens == 0 { sums.empty = 1 }
            if isTruncated { sums.truncated = 1 }
            sums.length.add(Double(tokens))
            if filter != nil, let firstPiece {
                sums.firstToken.add(Double((firstPiece - sentAt).nanoseconds) / 1e9)
                if tokens > 1 { sums.perToken.add(Double((end - firstPiece).nanoseconds) / 1e9 / Double(tokens - 1)) }
            } else if tokens > 0 {
                sums.perToken.add(Double((end - sentAt).nanoseconds) / 1e9 / Double(tokens))
            }
        }
        core.rollouts.record(arm, model: deployment.model, stratum: stratum, sums)
    }

    /// Whether the answer ended because it was as long as it may be.
    var isTruncated: Bool {
        filter.map(\.isTruncated) ?? (foundTruncation || tail.withUnsafeReadableBytes { Self.isTruncated($0) })
    }

    static func isTruncated(_ bytes: UnsafeRawBufferPointer) -> Bool {
        EventStreamFilter.holds(bytes, "\"finish_reason\":\"length\"")
    }

    /// What the end of the request says of its replica.
    func replicaOutcome(_ outcome: Outcome) -> Admission.Outcome {
        switch outcome {
        case .cancelled: .unknown
        case .failed(let error): error.status < 500 ? .unknown : .failure
        // That it has too much to do is no fault; what it cannot do at all is none of its faults either.
        case .ended: isBroken || status >= 500 && status != 501 && status != 503 ? .failure : .success
        }
    }

    /// As the model server told it; of an answer that was cut short, as far as it came.
    /// - Parameter isLeft: whether the client has gone while the model server worked on it.
    func usedTokens(isLeft: Bool) -> (TokenUse, isPartial: Bool) {
        guard request.endpoint.isGeneration, !isFree else { return (TokenUse(), false) }
        guard status == 200 else {
            // It had said nothing yet, and what it did was done for this client.
            guard status == 0, isLeft else { return (TokenUse(), false) }
            return (TokenUse(prompt: request.inspection.estimatedPromptTokens), true)
        }
        if let filter {
            if let use = filter.use { return (use, false) }
            return (TokenUse(prompt: request.inspection.estimatedPromptTokens, completion: filter.pieces), true)
        }
        let told = tail.withUnsafeReadableBytes { TokenUse(lastIn: $0) }
        if let told = told ?? foundUse { return (told, false) }
        return (TokenUse(prompt: request.inspection.estimatedPromptTokens), true)
    }

    static func isEventStream(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let place = head.value(of: .contentType), place.count >= 17 else { return false }
        let type: StaticString = "text/event-stream"
        return bytes[place].prefix(17).elementsEqual(
            UnsafeBufferPointer(start: type.utf8Start, count: 17))
    }

    /// Fields that are set here, or that end with the connection to the replica.
    static func isReplaced(_ field: KnownField) -> Bool {
        switch field {
        case .contentLength, .requestID, .server, .setCookie: true
        default: field.isHopByHop
        }
    }
}
