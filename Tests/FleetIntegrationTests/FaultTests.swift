import Foundation
import Glibc
import LocalStack
import Pipeline
import Testing

extension FleetTests {
    /// Real processes on real servers: killed, stopped, robbed of their stores. What a run did must count once.
    @Suite(.timeLimit(.minutes(5))) struct FaultTests {
        /// A fleet with a pipeline `work` of these stages, and the journal that the stages keep.
        private func withWork<Value: Sendable>(
            _ stages: [(name: String, seconds: Double, needs: [String], ack: String)], workers: [String],
            _ body: (Fleet, Journal) async throws -> Value
        ) async throws -> Value {
            let folder = try TestFolders.make()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let journal = Journal(file: folder + "/journal")
            let script = try #require(Bundle.module.url(forResource: "Programs/stage.py", withExtension: nil)).path
            let texts = stages.map { stage in
                TestPipelines.stage(
                    stage.name, seconds: stage.seconds, needs: stage.needs, ack: stage.ack, script: script,
                    journal: journal.file)
            }
            return try await Fleet.run(
                pipelines: ["work": TestPipelines.pipeline("work", texts)], workers: workers
            ) { try await body($0, journal) }
        }

        /// Every stage succeeded, and its output is of the one attempt that counts.
        private func expectOneResultEach(_ run: ShownRun, _ journal: Journal) {
            #expect(run.state == "succeeded", "\(run)")
            for task in run.tasks {
                #expect(task.state == "succeeded")
                #expect(task.output?.values?["attempt"]?.intValue == Int64(task.attempt))
                #expect(journal.count("end", stage: task.stage, run: run.id) >= 1)
            }
        }

        @Test func aPlainClientPublishesThreeTimesAndStartsOneRun() async throws {
            try await withWork([("only", 0, [], "on-result")], workers: ["command"]) { fleet, journal in
                let event = #"""
                    {"specversion": "1.0", "type": "dev.martlet.data.available.v1", "source": "/tests", "id": "three-times",
                     "datacontenttype": "application/json", "data": {"pipeline": "work"}}
                    """#
                try await fleet.publishForeign(Array(event.utf8), times: 3)
                let run = try await eventually("the event is a run") { try await fleet.runs().first }
                expectOneResultEach(try await fleet.end(of: run), journal)
                // After the end too; and events are taken in order, so the later run shows that it was looked at.
                try await fleet.publishForeign(Array(event.utf8))
                let later = try await fleet.publish("work")
                #expect(try await fleet.end(of: later).state == "succeeded")
                #expect(Set(try await fleet.runs()) == [run, later])
                #expect(journal.count("begin", stage: "only") == 2)
            }
        }

        @Test(arguments: ["on-result", "on-claim"])
        func aWorkerKilledInMidTaskCostsOneAttempt(ack: String) async throws {
            try await withWork(
                [("slow", 4, [], ack), ("after", 0, ["slow"], ack)], workers: ["command"]
            ) { fleet, journal in
                let run = try await fleet.publish("work")
                try await journal.begun("slow")
                try await fleet.signal("command", SIGKILL)
                try await fleet.start("command-2")
                let shown = try await fleet.end(of: run)
                expectOneResultEach(shown, journal)
                #expect(journal.count("begin", stage: "slow") == 2)
                #expect(try shown.task("slow").worker?.hasPrefix("command-2@") == true)
                #expect(journal.count("begin", stage: "after") == 1)
            }
        }

        @Test func theOnlySchedulerIsKilledAgainAndAgain() async throws {
            try await withWork(
                [("one", 0.2, [], "on-result"), ("two", 0.2, ["one"], "on-claim"), ("three", 0, ["two"], "on-result")],
                workers: ["command", "command-2"]
            ) { fleet, journal in
                var runs: [String] = []
                for _ in 0..<4 {
                    for _ in 0..<2 { runs.append(try await fleet.publish("work")) }
                    try await Task.sleep(for: .milliseconds(.random(in: 0..<400)))
                    try await fleet.signal("scheduler", SIGKILL)
                    try await fleet.start("scheduler")
                }
                for run in runs { expectOneResultEach(try await fleet.end(of: run), journal) }
                #expect(Set(try await fleet.runs()) == Set(runs))
                for stage in ["one", "two", "three"] {
                    for run in runs { #expect(journal.count("end", stage: stage, run: run) == 1) }
                }
            }
        }

        @Test(arguments: ["on-result", "on-claim"])
        func aWorkerStoppedPastItsLeaseComesTooLate(ack: String) async throws {
            try await withWork([("slow", 2, [], ack)], workers: ["command"]) { fleet, journal in
                let run = try await fleet.publish("work")
                try await journal.begun("slow")
                let stopped = try #require(journal.lines.first)
                try await fleet.signal("command", SIGSTOP)
                try await fleet.start("command-2")
                let shown = try await fleet.end(of: run)
                expectOneResultEach(shown, journal)
                #expect(try shown.task("slow").worker?.hasPrefix("command-2@") == true)
                // The stopped worker's own program has long ended well: its result is ready to be told.
                #expect(journal.lines.contains { $0.word == "end" && $0.pid == stopped.pid })
                try await fleet.signal("command", SIGCONT)
                _ = try await eventually("the late result is dropped") {
                    fleet.log("scheduler").contains("late or repeated result dropped")
                        || fleet.log("command").contains("lease lost; result thrown away") ? true : nil
                }
                let after = try await fleet.show(run)
                #expect(try after.task("slow").token == shown.task("slow").token)
                #expect(after.state == "succeeded")
                // It goes on to work: with the other one gone, the next run is its own.
                try await fleet.stop("command-2")
                let next = try await fleet.end(of: try await fleet.publish("work"))
                #expect(try next.task("slow").worker?.hasPrefix("command@") == true)
            }
        }

        @Test func redisAndEveryQueueAreWipedInMidRun() async throws {
            try await withWork(
                [
                    ("first", 2, [], "on-result"), ("left", 2, ["first"], "on-claim"),
                    ("right", 2, ["first"], "on-result"),
                    ("last", 1, ["left", "right"], "on-result"),
                ], workers: ["command", "command-2"]
            ) { fleet, journal in
                let run = try await fleet.publish("work")
                for (stage, pause) in [("first", 0), ("left", 0), ("right", 500), ("last", 0)] {
                    try await journal.begun(stage)
                    try await Task.sleep(for: .milliseconds(pause))
                    try await fleet.flushRedis()
                    #expect(try await fleet.share.management.purge(host: fleet.share.host) >= 3)
                }
                let shown = try await fleet.end(of: run)
                expectOneResultEach(shown, journal)
                #expect(Set(try await fleet.runs()) == [run])
                // A wiped store is no reason to do work twice that somebody is at.
                for task in shown.tasks { #expect(journal.count("end", stage: task.stage) == 1, "\(task.stage)") }
            }
        }

        @Test(arguments: [ServerName.rabbitMQ, .redis, .postgres, .s3])
        func aServerIsRestartedInMidRun(_ server: ServerName) async throws {
            try await withWork(
                [
                    ("first", 2, [], "on-claim"), ("second", 2, ["first"], "on-result"),
                    ("third", 0, ["second"], "on-result"),
                ],
                workers: ["command"]
            ) { fleet, journal in
                let run = try await fleet.publish("work")
                try await journal.begun("first")
                try await fleet.share.stack.restart(server)
                try await journal.begun("second")
                let shown = try await fleet.end(of: run)
                expectOneResultEach(shown, journal)
                // Those who were connected are again.
                #expect(try await fleet.end(of: try await fleet.publish("work")).state == "succeeded")
            }
        }
    }
}
