import MLflowClient
package import Pipeline
import WorkerRuntime

extension MLflowError: FailureConvertible {
    package var failure: Failure {
        Failure(
            class: isRetryable ? .retryable : .permanent, code: "mlflow." + code.rawValue.lowercased(),
            message: description)
    }
}
