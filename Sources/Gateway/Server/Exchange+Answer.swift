import Glibc
import HTTPWire
import Metrics
import NIOCore
import Pipeline

extension Exchange {
    func upstreamHead(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer) {
        let now = NIODeadline.now()
        if head.status >= 500, head.status != 501, waitsForHedge(head.status == 503 ? .success : .failure) { return }
        hedge?.cancel()
        if let grant, grant.isTrial, head.status < 500 { core.admission.answered(grant) }
        if head.status >= 400, request.fallback != nil, arm?.isCandidate == true {
            upstream?.abort()
            upstream = nil
            _ = fallsBack(isRefusal: head.status < 500)
            return
        }
        if head.status == 404 || head.status == 405 {
            // In its own words it says so in many shapes.
            upstream?.abort()
            upstream = nil
            fail(
                .invalid(
                    404, code: "not_supported",
                    "the model server of '\(deployment.label)' does not have \(request.endpoint.path)"))
            return
        }
        series.firstByte.recordNanoseconds((now - sentAt).nanoseconds)
        deadline = min(total, now + TimeAmount(timeouts.betweenTokens))
        phase = .answering
        status = head.status
        let isEmpty = ResponseHead.isEmpty(status)
        let isEvents = request.inspection.isStream && !isEmpty && Self.isEventStream(head, bytes)
        if isEvents { filter = EventStreamFilter(passesUsage: !request.addsUsage) }

        var length: Int?
        if case .length(let count) = head.framing, !isEvents { length = count }
        promised = length
        isChunked = length == nil && !request.isOldVersion
        if !request.keepsAlive || length == nil && !isChunked { client.closesAfterAnswer = true }
        // A colon of a field may have had no space behind it.
        let size = 256 + bytes.count + head.fields.count + request.requestID.readableBytes
        // With room for a content that goes in one piece with it.
        let room = length.map { $0 <= ClientConnection.pieceLimit ? $0 : 0 } ?? 0
        var out = client.allocator.buffer(capacity: size + room)
        out.write(atMost: size) { out in
            out.statusLine(status)
            out.text("\r\n")
            for field in head.fields where !Self.isReplaced(field.known) {
                out.bytes(UnsafeRawBufferPointer(rebasing: bytes[field.name]))
                out.text(": ")
                out.bytes(UnsafeRawBufferPointer(rebasing: bytes[field.value]))
                out.text("\r\n")
            }
            if isEvents { out.text("x-accel-buffering: no\r\n") }
            out.text("x-request-id: ")
            out.buffer(request.requestID)
            if let length {
                if !isEmpty {
                    out.text("\r\ncontent-length: ")
                    out.decimal(length)
                }
            } else if isChunked {
                out.text("\r\ntransfer-encoding: chunked")
            }
            if client.closesAfterAnswer {
                out.text("\r\nconnection: close")
            } else if request.isOldVersion {
                out.text("\r\nconnection: keep-alive")
            }
            out.text("\r\n\r\n")
        }
        client.write(out)
    }

    func upstreamContent(_ content: ByteBuffer) {
        deadline = min(total, .now() + TimeAmount(timeouts.betweenTokens))
        if filter != nil {
            // The events go straight into the chunk: one copy.
            client.write(about: content.readableBytes + ByteBuffer.chunkOverhead) { out in
                if isChunked { out.beginChunk() }
                filter?.feed(content, into: &out)
                if isChunked { out.endChunk() }
            }
            if let pieces = filter?.pieces {
                slot?.progress(completion: pieces)
                // The head of a stream comes before there is anything to say.
                if firstPiece == nil, pieces > 0 { firstPiece = .now() }
            }
        } else {
            keepTail(content)
            if promised != nil {
                promised? -= content.readableBytes
                client.write(content)
            } else {
                writeContent(content)
            }
        }
        if !client.isWritable, let upstream {
            // What the client does not take stays at the replica, in the buffers of its own connection.
            upstream.pause()
            isStalled = true
            // Who takes a little now and then is stalled at nearly every look, and has no more time for it.
            deadline = min(total, .now() + TimeAmount(timeouts.stalledClient))
        }
    }

    func flush() {
        client.flushSoon()
    }

    func upstreamEnded(isCertain: Bool) {
        upstream = nil
        var last = ByteBuffer()
        filter?.finish(into: &last)
        if let filter {
            guard isCertain || filter.isDone else {
                upstreamFailed(
                    .upstream(
                        502, code: "upstream_closed", "the model server closed the connection before its answer's end"),
                    canRetry: false, isStale: false)
                return
            }
            if filter.hasFailed { isBroken = true }
        }
        writeContent(last)
        if isChunked { client.writeStatic("0\r\n\r\n") }
        finish()
    }

    /// In a rollout the old version answers what the new one could not: nobody pays for the trial. The failure is the
    /// new one's all the same.
    /// - Parameter isRefusal: whether it says that the request is at fault. If the old one answers it, it was not.
    func fallsBack(isRefusal: Bool = false) -> Bool {
        guard let fallback = request.fallback, let arm, arm.isCandidate else { return false }
        if isRefusal {
            refused = arm
            series.clientErrors.increment()
        } else {
            recordFailure(of: arm)
            series.serverErrors.increment()
        }
        slot?.finish(status: isRefusal ? 400 : 502, use: TokenUse(), cost: 0, isPartial: true)
        slot = nil
        if let grant { core.admission.release(grant, isRefusal ? .success : .failure) }
        grant = nil
        self.arm = nil
        deployment = fallback
        series = core.metrics.series(fallback, request.endpoint)
        ask.deployment = fallback.id
        ask.excluded = []
        attempts = 0
        deadline = request.received + TimeAmount(timeouts.queue)
        phase = .connecting
        start()
        return true
    }

    func recordFailure(of arm: RolloutTable.Arm) {
        var sums = RolloutSums()
        sums.requests = 1
        sums.errors = 1
        core.rollouts.record(arm, model: deployment.model, stratum: stratum, sums)
    }

    var stratum: Int { RolloutSums.stratum(promptTokens: request.inspection.estimatedPromptTokens) }

    /// The replica failed. Before the first byte of an answer another one is asked; after it the client is told.
    /// - Parameter isStale: the replica had closed a connection that was kept for reuse, which is no fault of its.
    func upstreamFailed(_ error: GatewayError, canRetry: Bool, isStale: Bool) {
        upstream = nil
        if canRetry, waitsForHedge(isStale ? .unknown : .failure) { return }
        hedge?.cancel()
        if case .answering = phase {
            isBroken = true
            tell(error)
            client.closesAfterAnswer = true
            finish()
            return
        }
        // A new connection shows whether the replica itself is there; a second one is no longer an accident.
        let isStale = isStale && !wasStale
        if isStale, let grant {
            wasStale = true
            attempts -= 1
            loop.dropIdle(to: grant.replica)
        }
        if !isStale, fallsBack() { return }
        guard canRetry, attempts < core.configuration.limits.attempts, let grant,
            isStale || core.admission.mayRetry(deployment.id)
        else {
            fail(error)
            return
        }
        if !isStale { ask.excluded.append(grant.replica.id) }
        self.grant = nil
        core.admission.release(grant, isStale ? .unknown : .failure)
        deadline = min(total, .now() + TimeAmount(timeouts.queue))
        start()
    }

    /// Writes an event that says why the stream ends; what is no stream can only be cut.
    func tell(_ error: GatewayError) {
        guard filter != nil else { return }
        var out = client.allocator.buffer(capacity: 256)
        filter?.drop()
        out.writeString("data: \(error.body)\n\n")
        writeContent(out)
        if isChunked { client.writeStatic("0\r\n\r\n") }
    }

    func writeContent(_ content: ByteBuffer) {
        guard content.readableBytes > 0 else { return }
        guard isChunked else {
            client.write(content)
            return
        }
        var out = client.allocator.buffer(capacity: content.readableBytes + ByteBuffer.chunkOverhead)
        out.beginChunk()
        out.writeImmutableBuffer(content)
        out.endChunk()
        client.write(out)
    }

    func keepTail(_ content: ByteBuffer) {
        guard request.endpoint.isGeneration, status == 200 else { return }
        if tail.readableBytes == 0 {
            tail = content
        } else {
            tail.writeImmutableBuffer(content)
        }
        // Seldom, so that each byte is gone through about once; what lies across the border is looked at again.
        guard tail.readableBytes > 4 * Self.tailLimit else { return }
        tail.withUnsafeReadableBytes { bytes in
            if let use = TokenUse(lastIn: bytes) { foundUse = use }
            if Self.isTruncated(bytes) { foundTruncation = true }
        }
        tail.moveReaderIndex(to: tail.writerIndex - Self.tailLimit)
        tail.discardReadBytes()
    }
}
