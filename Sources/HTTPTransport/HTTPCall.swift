import Logging

/// One call of `HTTPTransport.send`: attempts, the pauses between them, redirects.
struct HTTPCall {
    private var request: HTTPRequest
    private let destination: HTTPFileDestination?
    private let transport: HTTPTransport
    private let deadline: ContinuousClock.Instant?

    init(request: HTTPRequest, destination: HTTPFileDestination?, transport: HTTPTransport) {
        self.request = request
        self.destination = destination
        self.transport = transport
        deadline = request.timeouts.total.map { .now + $0 }
    }

    mutating func run() async throws -> HTTPResponse {
        var redirects = 0
        while true {
            let url = try CurlURL(request.url).requireHTTP()
            let response = try await attempts(url)
            guard request.maximumRedirects > 0, let next = try redirect(response, from: url) else { return response }
            redirects += 1
            guard redirects <= request.maximumRedirects else {
                throw HTTPError(
                    code: .tooManyRedirects,
                    message: "\(url.display(hidesPath: request.hidesPath)) redirects again after "
                        + "\(request.maximumRedirects) redirects")
            }
            request = next
        }
    }

    // MARK: Attempts

    private func attempts(_ url: CurlURL) async throws -> HTTPResponse {
        let policy = request.retry
        let attempts = policy.allowsRepeating(method: request.method) ? max(policy.maximumAttempts, 1) : 1
        var attempt = 1
        while true {
            var pause = policy.pause(beforeAttempt: attempt + 1, random: .random(in: 0..<1))
            var cause: HTTPError?
            do {
                let response = try await self.attempt(url)
                guard attempt < attempts, HTTPRetryPolicy.isRetryable(status: response.status) else { return response }
                if let asked = RetryAfter.seconds(response.headers) {
                    guard .seconds(asked) <= policy.maximumRetryAfter else { return response }
                    pause = max(pause, .seconds(asked))
                }
                guard leavesTime(for: pause) else { return response }
            } catch let error as HTTPError where attempt < attempts && Self.isWorthRepeating(error) {
                guard leavesTime(for: pause) else { throw error }
                cause = error
            }
            transport.logger.debug(
                "HTTP attempt failed, sending again",
                metadata: [
                    "url": "\(url.display(hidesPath: request.hidesPath))", "attempt": "\(attempt)",
                    "pause": "\(pause)", "cause": "\(cause?.code.rawValue ?? "status")",
                ])
            try await Task.sleep(for: pause)
            attempt += 1
        }
    }

    private func leavesTime(for pause: Duration) -> Bool {
        deadline.map { .now + pause < $0 } ?? true
    }

    /// No connection, or one that was lost before an answer. Limits that passed are not tried again in here: they
    /// have cost their time already.
    private static func isWorthRepeating(_ error: HTTPError) -> Bool {
        let codes: Set<HTTPError.Code> = [.unresolvedHost, .connectFailed, .connectTimeout, .connectionLost]
        return codes.contains(error.code) || (error.code == .proxyFailed && error.isRetryable)
    }

    private func attempt(_ url: CurlURL) async throws -> HTTPResponse {
        try Task.checkCancellation()
        let engine = transport.engine
        let configuration = transport.configuration
        let id = engine.makeID()
        let channel = ResponseChannel(limit: configuration.streamBufferSize)
        var upload = UploadSource.none
        var source: (pipe: UploadPipe, stream: any AsyncSequence<[UInt8], any Error> & Sendable)?
        switch request.body {
        case .none:
            break
        case .bytes(let bytes):
            upload = .bytes(bytes)
        case .file(let path, let offset, let length):
            upload = .file(try UploadFile(path: path, offset: offset, length: length))
        case .stream(let length, let makeStream):
            let pipe = UploadPipe(limit: configuration.streamBufferSize) { engine.send(.resumeSending(id)) }
            upload = .pipe(pipe, length: length)
            source = (pipe, makeStream())
        }
        let spec = try await spec(url, upload: upload)
        // Unstructured, because an answer may begin, and this call return, before the body is sent; the lease
        // cancels it, and the transfer's end closes the pipe under it.
        let pump = source.map { source in Task { await source.pipe.pump(source.stream) } }
        let lease = TransferLease(
            id: id, channel: channel, display: spec.display, engine: engine, pump: pump,
            mayWriteToFile: destination != nil)
        engine.send(.start(id, spec, channel))
        let head = try await lease.head()
        return HTTPResponse(status: head.status, headers: head.headers, body: HTTPResponseBody(lease: lease))
    }

    private func spec(_ url: CurlURL, upload: UploadSource) async throws -> TransferSpec {
        let proxy = (request.proxy ?? transport.configuration.proxy).proxy(scheme: url.scheme, host: url.host)
        let lines = try HeaderLines(request, bodyLength: upload.length).lines
        if proxy != nil { try await checkTarget(url) }
        return TransferSpec(
            url: url.whole, display: url.display(hidesPath: request.hidesPath), origin: url.origin,
            host: url.host.trimmingBrackets(), proxy: proxy, addressPolicy: request.addressPolicy,
            timeouts: request.timeouts, deadline: deadline, upload: upload,
            kind: .http(
                TransferSpec.HTTPSpec(
                    method: request.method, headerLines: lines,
                    isRepeatable: request.retry.allowsRepeating(method: request.method),
                    expectsContinue: request.expectsContinue, decompressionLimit: request.decompressionLimit,
                    destination: destination,
                    hasRange: request.headers.contains { $0.name.equalsIgnoringASCIICase("Range") })))
    }

    /// Behind a proxy no connection of ours shows the target's address: what can be known here is checked here.
    private func checkTarget(_ url: CurlURL) async throws {
        guard request.addressPolicy.isPublicOnly else { return }
        let host = url.host.trimmingBrackets()
        let addresses = if let literal = IPAddress(host) { [literal] } else { await HostAddresses.resolve(host) }
        for address in addresses {
            guard let kind = request.addressPolicy.refusal(host: host, address: address) else { continue }
            throw HTTPError.addressRefused(host: host, address: address, kind: kind)
        }
    }

    // MARK: Redirects

    /// The request to make next, or `nil` when the answer is final.
    private func redirect(_ response: HTTPResponse, from url: CurlURL) throws -> HTTPRequest? {
        guard [301, 302, 303, 307, 308].contains(response.status), let location = response.headers["Location"]
        else { return nil }
        let target = try CurlURL(location, relativeTo: url.whole).requireHTTP()
        guard !(url.scheme == "https" && target.scheme == "http") else {
            throw HTTPError(
                code: .redirectRefused,
                message: "\(url.display(hidesPath: request.hidesPath)) redirects to plain http at \(target.host); "
                    + "ask for the http address itself if that is intended")
        }
        return RedirectRule.next(request, from: url, to: target, status: response.status)
    }
}
