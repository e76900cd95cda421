import HTTPTransport
import ObjectStorage
package import Pipeline
import WorkerRuntime

extension S3Error: FailureConvertible {
    package var failure: Failure {
        Failure(class: isRetryable ? .retryable : .permanent, code: "s3.\(code.rawValue)", message: description)
    }
}

extension HTTPError: FailureConvertible {
    package var failure: Failure {
        Failure(class: isRetryable ? .retryable : .permanent, code: "http.\(code.rawValue)", message: description)
    }
}
