import HTTPTransport

extension S3Error {
    /// Any error of the layers below in this library's terms; cancellation stays what it is.
    static func wrap(_ error: any Error, bucket: String?, key: String?) -> any Error {
        switch error {
        case is CancellationError:
            return error
        case let error as S3Error:
            return error.located(bucket: bucket, key: key)
        case let error as FileError:
            return S3Error(code: .localFile, message: "\(error)", bucket: bucket, key: key, cause: error)
        case let error as HTTPError:
            let code: Code =
                switch error.code {
                case .fileFailed: .localFile
                case .bodyTooLarge: .tooLarge
                case .invalidRequest: .invalidRequest
                case .requestBodyFailed: .source
                default: .unreachable
                }
            return S3Error(
                code: code, message: "\(error)", bucket: bucket, key: key, cause: error,
                isRetryable: error.isRetryable)
        default:
            return S3Error(code: .source, message: "\(error)", bucket: bucket, key: key, cause: error)
        }
    }
}
