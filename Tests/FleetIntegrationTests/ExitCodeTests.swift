import ArgumentParser
import ChildProcess
import Foundation
import ObjectStorage
import Pipeline
import PostgresClient
import RedisClient
import Testing

@testable import martlet

@Suite(.timeLimit(.minutes(4))) struct ExitCodeTests {
    @Test func everyKindOfErrorHasItsCode() {
        let codes: [(any Error, ExitCode)] = [
            (PipelineError(.invalidParameter, "no such parameter"), ExitCodes.usage),
            (S3Error(code: .accessDenied, message: "no"), ExitCodes.refused),
            (S3Error(code: .noSuchKey, message: "nothing there"), ExitCodes.notFound),
            (S3Error(code: .unreachable, message: "nobody there", isRetryable: true), ExitCodes.unreachable),
            (PostgresError(.timedOut, "after 30 s"), ExitCodes.unreachable),
            (PostgresError(.server, "no such table"), ExitCodes.failed),
            (RedisError(.timedOut, "after 5 s"), ExitCodes.unreachable),
        ]
        for (error, code) in codes { #expect(ExitCodes.code(for: error) == code, "\(error)") }
    }

    @Test(arguments: [
        (["--version"], 0), (["--help"], 0), (["run", "--help"], 0), (["run", "show"], 2), (["no-such-command"], 2),
        (["worker", "--pool", "x", "--slots", "0"], 2), (["pipeline", "check", "/nowhere/pipeline.yaml"], 1),
        (["pipeline", "check", "--config", "/nowhere/martlet.yaml"], 2),
    ])
    func aCommandEndsWithItsCode(words: [String], code: Int) async throws {
        let answer = try await Fleet.command(Fleet.program, words, environment: ProcessEnvironment.minimal())
        #expect(answer.status == .exited(Int32(code)), "\(answer)")
        #expect(answer.complaint.isEmpty == (code == 0), "\(answer)")
    }
}
