package import Pipeline

/// Does the work of one kind of stage.
package protocol StageHandler: Sendable {
    /// The ``StageSpec/kind`` that it serves.
    var kind: String { get }
    /// Raised whenever equal inputs may give another output; a part of the cache key.
    var version: String { get }

    /// What the output depends on besides the parameters and the inputs' digests, such as the validator of a file
    /// that will be read. Nil means that this task must not be taken from the cache.
    func cacheValidator(_ context: StageContext) async throws -> JSONValue?

    /// Runs one attempt.
    ///
    /// When the surrounding task is cancelled the handler stops as soon as it can. When ``StageContext/drain`` is
    /// signalled it may save its progress and return ``StageResult/released``.
    /// - Throws: any error; one that is ``FailureConvertible`` says itself how it is to be treated, every other
    ///   counts as retryable.
    func run(_ context: StageContext) async throws -> StageResult
}

extension StageHandler {
    package func cacheValidator(_ context: StageContext) async throws -> JSONValue? { .null }
}

/// How an attempt ended well.
package enum StageResult: Sendable {
    case succeeded(StageOutput)
    /// A gate in the stage says no; the output holds the decision.
    case rejected(StageOutput)
    /// Saved and given back, because the worker stops.
    case released
}

/// An error that knows how the ledger should treat it.
package protocol FailureConvertible: Error {
    var failure: Failure { get }
}

/// A failure that a handler throws as it is.
package struct StageFailure: FailureConvertible, CustomStringConvertible {
    package let failure: Failure
    package var description: String { failure.message }

    package init(_ failure: Failure) {
        self.failure = failure
    }

    package init(_ class: Failure.Class, _ code: String, _ message: String, details: JSONValue? = nil) {
        failure = Failure(class: `class`, code: code, message: message, details: details)
    }
}
