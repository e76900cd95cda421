import Logging

/// When and how a call is repeated.
extension S3Client {
    /// How often a piece of work may fail.
    enum Persistence {
        /// `configuration.maximumAttempts` sends.
        case attempts
        /// Until `configuration.transferPatience` after the first failure: the pieces of a transfer.
        case patience
    }

    /// Runs `body` until it succeeds, fails for good, or has failed long enough.
    /// - Throws: `S3Error` with bucket and key filled in, or `CancellationError`.
    func retrying<Result>(
        bucket: String?, key: String?, persistence: Persistence = .attempts,
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> sending Result
    ) async throws -> sending Result {
        var failures = 0
        var deadline: ContinuousClock.Instant?
        while true {
            do {
                return try await body()
            } catch let error as CancellationError {
                throw error
            } catch {
                try Task.checkCancellation()
                let failure = S3Error.wrap(error, bucket: bucket, key: key)
                guard let failure = failure as? S3Error, failure.isRetryable else { throw failure }
                failures += 1
                let pause = pause(afterFailure: failures, asked: failure.retryAfter)
                switch persistence {
                case .attempts:
                    guard failures < configuration.maximumAttempts else { throw failure }
                case .patience:
                    let limit = deadline ?? ContinuousClock.now + configuration.transferPatience
                    deadline = limit
                    guard ContinuousClock.now + pause < limit else { throw failure }
                }
                logger.debug(
                    "trying again",
                    metadata: [
                        "bucket": "\(bucket ?? "")", "key": "\(key ?? "")", "failures": "\(failures)",
                        "pause": "\(pause)", "error": "\(failure)",
                    ])
                try await Task.sleep(for: pause)
            }
        }
    }

    /// Doubles with every failure up to the bound; drawn evenly from its upper half, so that clients that failed
    /// together do not come back together.
    func pause(afterFailure count: Int, asked: Duration?) -> Duration {
        let doubled = configuration.baseDelay * (1 << min(count - 1, 16))
        let bounded = min(doubled, configuration.maximumDelay)
        let own = bounded * Double.random(in: 0.5...1)
        // A store may ask for more than we would wait by ourselves, within reason.
        return max(own, min(asked ?? .zero, .seconds(30)))
    }
}
