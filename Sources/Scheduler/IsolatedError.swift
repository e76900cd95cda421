import Pipeline
import PostgresClient

/// An error that lies in a batch's content: trying the same batch again cannot help.
struct IsolatedError: Error, CustomStringConvertible {
    let description: String

    init(_ error: any Error) {
        description = "\(error)"
    }

    /// Class 22 of SQLSTATE is bad data (such as a NUL in JSON), class 54 a limit that the data exceeds; the client
    /// itself refuses to send a NUL in text.
    static func isTheBatchsFault(_ error: any Error) -> Bool {
        guard let error = error as? PostgresError else { return error is PipelineError || error is EncodingError }
        if error.code == .invalidParameter { return true }
        return error.sqlState.map { $0.hasPrefix("22") || $0.hasPrefix("54") } ?? false
    }
}
