import ChildProcess
import Foundation
import Pipeline
import Testing

extension FleetTests {
    /// What the on-call engineer does with a run that failed.
    @Suite(.timeLimit(.minutes(3))) struct RetryTests {
        @Test func aFailedRunIsFinishedWithoutDoingAgainWhatWasDone() async throws {
            let folder = try TestFolders.make()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let journal = Journal(file: folder + "/journal")
            let script = try #require(Bundle.module.url(forResource: "Programs/stage.py", withExtension: nil)).path
            let cure = folder + "/cure"
            let stages = [
                TestPipelines.stage("dear", seconds: 0.5, script: script, journal: journal.file),
                TestPipelines.stage(
                    "fragile", seconds: 0, needs: ["dear"], attempts: 2, neededFile: cure, script: script,
                    journal: journal.file),
                TestPipelines.stage("last", seconds: 0, needs: ["fragile"], script: script, journal: journal.file),
            ]
            try await Fleet.run(
                pipelines: ["work": TestPipelines.pipeline("work", stages)], workers: ["command"]
            ) { fleet in
                let run = try await fleet.publish("work")
                let failed = try await fleet.end(of: run)
                #expect(failed.state == "failed")
                #expect(try failed.task("fragile").attempt == 2)
                #expect(try failed.task("last").state == "skipped")
                let dead = try #require(try await fleet.failures().tasks.first)
                #expect(dead.run == run && dead.stage == "fragile" && dead.attempt == 2)
                #expect(dead.failure?.code == "command.failed" && dead.failure?.message.contains("exit code 1") == true)
                let log = try await fleet.martlet("run", "logs", run, "--stage", "fragile")
                #expect(log.output.contains("there is no \(cure)"))

                try Data().write(to: URL(filePath: cure))
                #expect(try await fleet.martlet("run", "retry", run).status.isSuccess)
                let again = try await fleet.end(of: run)
                #expect(again.state == "succeeded")
                #expect(journal.count("begin", stage: "dear") == 1)
                #expect(try again.task("dear").token == failed.task("dear").token)
                #expect(try await fleet.failures().tasks.isEmpty)

                // From a stage that succeeded: that one and those behind it, nothing before it.
                #expect(try await fleet.martlet("run", "retry", run, "--from-stage", "fragile").status.isSuccess)
                #expect(try await fleet.end(of: run).state == "succeeded")
                #expect(journal.count("end", stage: "dear") == 1)
                #expect(journal.count("end", stage: "fragile") == 2 && journal.count("end", stage: "last") == 2)
            }
        }
    }
}
