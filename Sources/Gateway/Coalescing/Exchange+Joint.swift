import Metrics
import NIOCore

/// An exchange's part in a call with others.
extension Exchange {
    /// Takes an answer that is there, or will be: one that is kept, or the one that an equal request waits for.
    /// - Returns: whether it does.
    func joinsKnownAnswer() -> Bool {
        guard let joint = request.joint, joint.identical != 0, !isAlone else { return false }
        let question = LoopState.Question(self)
        if let kept = core.answers.find(question.cached) {
            core.coalescing.cached.increment()
            isFree = true
            deliver(200, kept, fields: "x-martlet-cache: hit\r\n")
            return true
        }
        guard let call = loop.jointCalls[question] else { return false }
        call.share(self)
        return true
    }

    /// Becomes part of a call.
    func join(_ call: JointCall) {
        phase = .joint(call)
        deadline = .distantFuture
        sentAt = request.received
        attempts += 1
        countWait()
    }

    func jointCallSent() { begin() }

    func jointAnswer(_ status: Int, _ body: ByteBuffer) {
        guard case .joint = phase else { return }
        if (400..<500).contains(status), fallsBack(isRefusal: true) { return }
        series.firstByte.recordNanoseconds((NIODeadline.now() - sentAt).nanoseconds)
        deliver(status, body, fields: "")
    }

    /// The call failed, and too many have failed to try once more.
    func jointFailed() {
        guard case .joint = phase else { return }
        fail(.upstream(502, code: "upstream_failed", "the model server failed to answer"))
    }

    /// The call ended before its time, for the sake of others.
    func leftJointCall() {
        guard case .joint = phase else { return }
        attempts -= 1
        waitAgain()
    }

    /// The call has no answer for it, or none for all: it asks for itself.
    /// - Parameter replica: one that failed.
    func goAlone(without replica: Replica? = nil) {
        switch phase {
        case .joint, .waiting: break
        default: return
        }
        isAlone = true
        if let replica { ask.excluded.append(replica.id) }
        deadline = min(total, .now() + TimeAmount(timeouts.queue))
        phase = .connecting
        start()
    }

    private func deliver(_ status: Int, _ body: ByteBuffer, fields: String) {
        self.status = status
        keepTail(body)
        client.answer(status, body, fields: fields, requestID: request.requestID)
        finish()
    }
}
