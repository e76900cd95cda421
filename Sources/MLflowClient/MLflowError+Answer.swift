import HTTPTransport

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension MLflowError {
    private struct Document: Decodable {
        let errorCode: String?
        let message: String?
    }

    /// Reads a refusal.
    ///
    /// MLflow names what it refuses in `error_code`. A 404 without one is a proxy's that has lost its server, or that of
    /// a wrong address: never proof that something does not exist.
    static func from(status: Int, body: [UInt8], operation: String) -> MLflowError {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let document = try? decoder.decode(Document.self, from: Data(body))
        let words =
            document?.message
            ?? String(decoding: body.prefix(300), as: UTF8.self)
            .split(whereSeparator: \.isNewline).joined(separator: " ")
        let code: Code =
            if let named = document?.errorCode, !named.isEmpty {
                Code(rawValue: named)
            } else {
                switch status {
                case 401: .unauthenticated
                case 403: .permissionDenied
                case 429: .limitExceeded
                case 500...599: .internalError
                default: .badAnswer
                }
            }
        return MLflowError(
            code: code, message: advice(status: status, code: code, words: words), operation: operation,
            status: status,
            isRetryable: status == 429 || status == 404 && code == .badAnswer
                || (500...599).contains(status) && status != 501)
    }

    private static func advice(status: Int, code: Code, words: String) -> String {
        switch status {
        case 401: "the server wants credentials or refused ours; configure the MLflow user or token: \(words)"
        case 403:
            "the server refuses us; grant the permission, or start it with --allowed-hosts for this host name: \(words)"
        case 404 where code == .badAnswer:
            "the 404 is not MLflow's own; is the address that of MLflow, and does the proxy before it reach it? \(words)"
        default: words.isEmpty ? "the server gave no reason" : String(words.prefix(1000))
        }
    }

    static func wrap(_ error: any Error, operation: String) -> any Error {
        switch error {
        case is CancellationError, is MLflowError:
            return error
        case let error as HTTPError:
            let code: Code =
                switch error.code {
                case .fileFailed, .requestBodyFailed: .localFile
                case .invalidRequest: .invalidRequest
                case .bodyTooLarge: .badAnswer
                default: .unreachable
                }
            let unsent: Set<HTTPError.Code> = [.connectFailed, .connectTimeout, .unresolvedHost]
            return MLflowError(
                code: code, message: "\(error)", operation: operation, cause: error, isRetryable: error.isRetryable,
                wasNotSent: unsent.contains(error.code))
        default:
            return MLflowError(code: .badAnswer, message: "\(error)", operation: operation, cause: error)
        }
    }
}
