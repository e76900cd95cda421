import HTTPTransport
import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Signing, sending, and reading refusals.
extension S3Client {
    /// An error's body is a few hundred bytes; this is what is read of one.
    private static let largestErrorBody = 64 << 10

    /// The signed request, ready for the transport.
    func signed(_ request: S3Request) throws -> HTTPRequest {
        let address = try endpoint.address(bucket: request.bucket, key: request.key)
        let time = SigningTime(secondsSince1970: Int64(time(nil)) + clockOffset.load(ordering: .relaxed))
        var headers = request.headers
        headers.append(("x-amz-date", time.timestamp))
        headers.append(("x-amz-content-sha256", request.payloadHash))
        if let token = signer.credentials.sessionToken { headers.append(("x-amz-security-token", token)) }
        let authorization = signer.authorization(
            method: request.method, path: address.path, query: request.query,
            headers: headers + [("host", address.host)], payloadHash: request.payloadHash, at: time)
        return HTTPRequest(
            method: request.method, url: address.url(query: S3URI.canonicalQuery(request.query)),
            headers: headers.map { HTTPHeader($0.name, $0.value) } + [HTTPHeader("Authorization", authorization)],
            body: request.body,
            timeouts: HTTPTimeouts(
                connect: configuration.connectTimeout, firstByte: configuration.firstByteTimeout,
                idle: configuration.idleTimeout),
            // Retries are decided here, where a 200 may be a failure and a signature grows old.
            retry: .none, expectsContinue: true)
    }

    /// One send. An answer other than 2xx is thrown, with the store's reason.
    func send(_ request: S3Request) async throws -> HTTPResponse {
        do {
            let response = try await transport.send(signed(request))
            if response.isSuccess { return response }
            let body = try await response.body.prefix(bytes: Self.largestErrorBody)
            throw refusal(status: response.status, headers: response.headers, body: body, of: request)
        } catch {
            throw S3Error.wrap(error, bucket: request.bucket, key: request.key)
        }
    }

    /// Sends, with retries, and reads the whole answer.
    ///
    /// An `<Error>` document under status 200, which S3 sends where it began to answer before it knew, is thrown.
    func exchange(_ request: S3Request, upTo limit: Int = 16 << 20) async throws -> S3Answer {
        try await retrying(bucket: request.bucket, key: request.key) {
            let response = try await self.send(request)
            let body: [UInt8]
            do {
                body = try await response.body.collect(upTo: limit)
            } catch {
                throw S3Error.wrap(error, bucket: request.bucket, key: request.key)
            }
            let answer = S3Answer(headers: response.headers, body: body)
            if answer.isErrorDocument {
                throw self.refusal(status: 500, headers: response.headers, body: body, of: request)
            }
            return answer
        }
    }

    func refusal(status: Int, headers: HTTPHeaders, body: [UInt8], of request: S3Request) -> S3Error {
        var error = S3Error.from(
            status: status, body: body, requestID: headers["x-amz-request-id"], bucket: request.bucket,
            key: request.key, keyID: signer.credentials.accessKeyID)
        if let seconds = headers["Retry-After"].flatMap({ Int64($0) }), seconds >= 0 {
            error.retryAfter = .seconds(seconds)
        }
        if error.code == .clockSkew, let date = headers["Date"].flatMap(HTTPDate.secondsSince1970) {
            // Sign with the store's clock from now on; only worth a retry when that changes something.
            let offset = date - Int64(time(nil))
            let previous = clockOffset.exchange(offset, ordering: .relaxed)
            error.isRetryable = abs(previous - offset) > 60
            logger.warning(
                "the store's clock differs from this machine's; signing with the store's",
                metadata: ["seconds": "\(offset)"])
        }
        return error
    }
}
