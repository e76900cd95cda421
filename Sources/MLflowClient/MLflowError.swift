/// Why a call on MLflow failed, and what to do about it. Never holds a credential.
package struct MLflowError: Error, Sendable {
    /// An open set: MLflow's own `error_code`s, and a few of ours in lower case.
    package struct Code: RawRepresentable, Hashable, Sendable {
        package let rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        package static let notFound = Code(rawValue: "RESOURCE_DOES_NOT_EXIST")
        package static let alreadyExists = Code(rawValue: "RESOURCE_ALREADY_EXISTS")
        package static let invalidParameter = Code(rawValue: "INVALID_PARAMETER_VALUE")
        package static let invalidState = Code(rawValue: "INVALID_STATE")
        package static let permissionDenied = Code(rawValue: "PERMISSION_DENIED")
        package static let unauthenticated = Code(rawValue: "UNAUTHENTICATED")
        package static let internalError = Code(rawValue: "INTERNAL_ERROR")
        package static let temporarilyUnavailable = Code(rawValue: "TEMPORARILY_UNAVAILABLE")
        package static let limitExceeded = Code(rawValue: "REQUEST_LIMIT_EXCEEDED")
        /// The server could not be reached, or the connection broke.
        package static let unreachable = Code(rawValue: "unreachable")
        /// An answer that is not MLflow's.
        package static let badAnswer = Code(rawValue: "bad_answer")
        /// A value that cannot be sent: nothing was sent.
        package static let invalidRequest = Code(rawValue: "invalid_request")
        /// The run keeps its artifacts elsewhere than behind the server's own artifact service.
        package static let artifactsNotProxied = Code(rawValue: "artifacts_not_proxied")
        /// A local file could not be read or written.
        package static let localFile = Code(rawValue: "local_file")
    }

    package var code: Code
    /// What happened and what to do next.
    package var message: String
    /// What was being done, such as `model-versions/create`.
    package var operation: String
    /// HTTP status, when the server answered.
    package var status: Int?
    package var cause: (any Error)?
    /// The same call may succeed later with nothing changed on our side.
    package var isRetryable: Bool
    /// The request did not reach the server, so that repeating even a creation does nothing twice.
    package var wasNotSent: Bool

    package init(
        code: Code, message: String, operation: String, status: Int? = nil, cause: (any Error)? = nil,
        isRetryable: Bool = false, wasNotSent: Bool = false
    ) {
        self.code = code
        self.message = message
        self.operation = operation
        self.status = status
        self.cause = cause
        self.isRetryable = isRetryable
        self.wasNotSent = wasNotSent
    }
}

extension MLflowError: CustomStringConvertible {
    package var description: String {
        let answer = status.map { " [HTTP \($0)]" } ?? ""
        return "\(code.rawValue): \(message) (MLflow \(operation))\(answer)"
    }
}
