import Pipeline

/// Errors to failures.
enum FailureClassifier {
    /// An error that says nothing of itself counts as retryable: a second look is cheap, a lost run is not.
    static func failure(for error: any Error) -> Failure {
        if let convertible = error as? any FailureConvertible { return bounded(convertible.failure) }
        if let error = error as? PipelineError { return bounded(error.failure) }
        return bounded(
            Failure(class: .retryable, code: "stage.unexpected", message: "\(type(of: error)): \(error)"))
    }

    /// Messages are for people, so what is longer than a page is cut.
    private static func bounded(_ failure: Failure) -> Failure {
        var failure = failure
        if failure.message.utf8.count > 4_096 { failure.message = failure.message.prefix(4_000) + " …" }
        return failure
    }
}
