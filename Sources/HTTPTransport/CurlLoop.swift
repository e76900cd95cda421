import CCurl
import Glibc

/// The transport's thread: the one place where libcurl handles exist.
///
/// A round: take commands, let libcurl work, collect what ended, hand gathered bytes to readers, look at time limits,
/// sleep in `curl_multi_poll` until a socket, a command or a limit needs attention. Idle, it sleeps without ticking.
final class CurlLoop {
    private let multi: UnsafeMutableRawPointer
    private let inbox: CurlInbox
    private let configuration: HTTPTransportConfiguration
    private var admission: Admission
    private var waiting: [TransferID: Transfer] = [:]
    private var active: [TransferID: Transfer] = [:]
    private var byHandle: [UnsafeMutableRawPointer: TransferID] = [:]
    private var nextCheck = ContinuousClock.Instant.now

    private init(multi: UnsafeMutableRawPointer, inbox: CurlInbox, configuration: HTTPTransportConfiguration) {
        self.multi = multi
        self.inbox = inbox
        self.configuration = configuration
        admission = Admission(
            limit: configuration.maximumConnections, limitPerOrigin: configuration.maximumConnectionsPerHost)
        martlet_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maximumConnections)
        // Streams of one HTTP/2 connection would share its flow control: a paused one stalls the others.
        martlet_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_NOTHING))
    }

    /// - Returns: false when no thread could be made; the handle is then freed.
    static func start(
        multi: UnsafeMutableRawPointer, inbox: CurlInbox, configuration: HTTPTransportConfiguration
    ) -> Bool {
        let loop = Unmanaged.passRetained(CurlLoop(multi: multi, inbox: inbox, configuration: configuration))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { context in
                pthread_detach(pthread_self())
                guard let context else { return nil }
                Unmanaged<CurlLoop>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, loop.toOpaque())
        guard result == 0 else {
            loop.release()
            curl_multi_cleanup(multi)
            return false
        }
        return true
    }

    private func run() {
        martlet_curl_name_thread("http")
        // The process's signals belong to its own threads; SIGPIPE from a TLS write must kill nobody.
        var signals = sigset_t()
        sigfillset(&signals)
        pthread_sigmask(SIG_BLOCK, &signals, nil)

        while let commands = inbox.take() {
            for command in commands { perform(command) }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            collectEnded()
            flush()
            checkLimits()
            curl_multi_poll(multi, nil, 0, pollMilliseconds, nil)
        }
        shutDown()
    }

    // MARK: Commands

    private func perform(_ command: CurlCommand) {
        switch command {
        case .start(let id, let spec, let channel):
            // Cancelled while it waited in the inbox; a download is ended by the command that follows.
            guard !channel.isEnded else { return }
            let transfer = Transfer(id: id, spec: spec, channel: channel, configuration: configuration)
            waiting[id] = transfer
            nextCheck = .now
            if admission.enter(id, origin: spec.origin) { begin(id) }
        case .abort(let id):
            guard let transfer = active[id] ?? waiting[id] else { return }
            end(transfer, .failure(CancellationError()))
        case .resumeReceiving(let id):
            guard let transfer = active[id], transfer.isReceivePaused else { return }
            transfer.isReceivePaused = false
            transfer.applyPauses()
        case .resumeSending(let id):
            guard let transfer = active[id], transfer.isSendPaused else { return }
            transfer.isSendPaused = false
            transfer.applyPauses()
        case .close:
            break
        }
    }

    private func begin(_ id: TransferID) {
        guard let transfer = waiting.removeValue(forKey: id) else { return }
        active[id] = transfer
        do {
            try transfer.prepare()
        } catch {
            end(transfer, .failure(error))
            return
        }
        guard let easy = transfer.easy else { return }
        byHandle[easy] = id
        transfer.clock.noteStart()
        let result = curl_multi_add_handle(multi, easy)
        guard result == CURLM_OK else {
            let text = String(cString: curl_multi_strerror(result))
            byHandle[easy] = nil
            end(transfer, .failure(HTTPError(code: .other, message: "libcurl took no transfer", curlText: text)))
            return
        }
        nextCheck = .now
    }

    /// The only way out for a transfer: off the multi handle (which closes a connection in mid-protocol), freed, told.
    private func end(_ transfer: Transfer, _ result: Result<Void, any Error>) {
        waiting[transfer.id] = nil
        active[transfer.id] = nil
        if let easy = transfer.easy, byHandle.removeValue(forKey: easy) != nil {
            curl_multi_remove_handle(multi, easy)
        }
        transfer.dispose()
        transfer.channel.finish(result)
        for id in admission.leave(transfer.id) { begin(id) }
    }

    // MARK: The rounds

    private func collectEnded() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
                let id = byHandle[easy], let transfer = active[id]
            else { continue }
            let code = martlet_message_result(message)
            end(transfer, code == CURLE_OK ? .success(()) : .failure(transfer.error(for: code)))
        }
    }

    private func flush() {
        for transfer in active.values where transfer.isDirty {
            transfer.isDirty = false
            if transfer.channel.flush(), transfer.isReceivePaused {
                transfer.isReceivePaused = false
                transfer.applyPauses()
            }
        }
    }

    private func checkLimits() {
        guard !active.isEmpty || !waiting.isEmpty else { return }
        let now = ContinuousClock.now
        guard now >= nextCheck else { return }
        var earliest = now + .seconds(60)
        var expired: [(Transfer, TransferClock.Expiry)] = []
        for transfer in active.values {
            switch transfer.clock.check(phase: transfer.phase, progress: transfer.progress, now: now) {
            case .success(let next): earliest = min(earliest, next)
            case .failure(let error): expired.append((transfer, error.expiry))
            }
        }
        // One that waits for a free connection has only its total limit.
        for transfer in waiting.values {
            guard let deadline = transfer.spec.deadline else { continue }
            if deadline <= now { expired.append((transfer, .total)) } else { earliest = min(earliest, deadline) }
        }
        nextCheck = earliest
        for (transfer, expiry) in expired {
            let spec = transfer.spec
            end(transfer, .failure(HTTPError.expired(expiry, display: spec.display, timeouts: spec.timeouts)))
        }
    }

    /// libcurl shortens this to its own timers.
    private var pollMilliseconds: Int32 {
        guard !active.isEmpty || !waiting.isEmpty else { return 3_600_000 }
        if active.values.contains(where: \.isDirty) { return 0 }
        return Int32(clamping: max(0, (nextCheck - .now).wholeMilliseconds + 1))
    }

    private func shutDown() {
        let closed = HTTPError(code: .closed, message: "the HTTP transport was closed during the call")
        for transfer in Array(waiting.values) + Array(active.values) {
            waiting[transfer.id] = nil
            active[transfer.id] = nil
            if let easy = transfer.easy, byHandle.removeValue(forKey: easy) != nil {
                curl_multi_remove_handle(multi, easy)
            }
            transfer.dispose()
            transfer.channel.finish(.failure(closed))
        }
        let (pending, closers) = inbox.markClosed()
        pending.forEach(CurlInbox.failStart)
        curl_multi_cleanup(multi)
        closers.forEach { $0.resume() }
    }
}
