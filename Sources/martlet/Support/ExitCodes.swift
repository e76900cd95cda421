import AMQPClient
import ArgumentParser
import Configuration
import Glibc
import HTTPTransport
import Ledger
import MLflowClient
import ObjectStorage
import Pipeline
import PostgresClient
import RedisClient
import WorkerRuntime

/// The exit codes of every command.
enum ExitCodes {
    static let failed = ExitCode(1)
    static let usage = ExitCode(2)
    static let notFound = ExitCode(3)
    /// By a gate, a plan or a permission.
    static let refused = ExitCode(4)
    /// A server that the command needs does not answer.
    static let unreachable = ExitCode(5)

    static func code(for error: any Error) -> ExitCode {
        switch error {
        case let error as LedgerError:
            switch error.code {
            case .notFound, .ambiguous: return notFound
            case .refused: return refused
            default: return failed
            }
        case is ConfigurationError, is PipelineError: return usage
        case let error as StageFailure:
            return error.failure.code == "model.unknown" ? notFound : failed
        case let error as AMQPError:
            return error.code == .accessRefused ? refused : error.isRetryable ? unreachable : failed
        case let error as RedisError: return error.isTransient ? unreachable : failed
        case let error as PostgresError: return error.isTransient ? unreachable : failed
        case let error as S3Error:
            switch error.code {
            case .accessDenied, .signatureRefused: return refused
            case .noSuchBucket, .noSuchKey: return notFound
            default: return error.isRetryable ? unreachable : failed
            }
        case let error as MLflowError: return error.isRetryable ? unreachable : failed
        case let error as HTTPError: return error.isRetryable ? unreachable : failed
        default: return failed
        }
    }

    /// Runs a command's body; an error goes to standard error in one line, with the exit code of its kind.
    static func guarding(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let code as ExitCode {
            throw code
        } catch let error as ValidationError {
            throw error
        } catch {
            Terminal.complain("martlet: \(error)")
            throw code(for: error)
        }
    }
}
