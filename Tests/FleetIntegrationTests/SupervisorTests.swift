import ChildProcess
import Foundation
import LocalStack
import Testing

extension FleetTests {
    /// `martlet up`, `status` and `down`.
    @Suite(.timeLimit(.minutes(10))) struct SupervisorTests {
        private struct Status: Decodable {
            struct Member: Decodable {
                var name: String
                var state: String
                var pid: Int32
                var address: String?
            }

            var state: String
            var processes: [Member]
        }

        private func environment(_ folder: String) throws -> [String: String] {
            try FileManager.default.createDirectory(
                atPath: folder + "/pipelines", withIntermediateDirectories: true)
            let pipeline = "name: small\nstages:\n  - name: one\n    kind: noop\n    pool: small\n"
            try Data(pipeline.utf8).write(to: URL(filePath: folder + "/pipelines/small.yaml"))
            try Data("log: {level: info}\n".utf8).write(to: URL(filePath: folder + "/martlet.yaml"))
            var environment = ProcessEnvironment.minimal()
            // Of the build and of the Python environments, as far as this process has them.
            for name in ["MARTLET_SERVICES_ENV", "MARTLET_PYTHON", "XDG_CACHE_HOME"] {
                environment[name] = ProcessEnvironment.current()[name]
            }
            environment["MARTLET_STATE"] = folder + "/state"
            environment["MARTLET_PIPELINES"] = folder + "/pipelines"
            environment["MARTLET_CONFIG"] = folder + "/martlet.yaml"
            environment["MARTLET_WORKER_GRACE"] = "5s"
            // One address for all: the supervisor gives each its own.
            environment["MARTLET_HTTP"] = "127.0.0.1:9"
            return environment
        }

        @Test func aKilledSupervisorLeavesNothingThatTheNextOneOrDownDoesNotStop() async throws {
            let folder = try TestFolders.make()
            let environment = try environment(folder)
            func martlet(_ words: String...) async throws -> Fleet.Answer {
                try await Fleet.command(Fleet.program, words, environment: environment)
            }
            func up() async throws -> [Status.Member] {
                let answer = try await martlet("up", "--timeout", "400")
                try #require(answer.status.isSuccess, "\(answer.output)\(answer.complaint)")
                return try await eventually("all of the fleet answers") {
                    let shown = try await martlet("status", "--output", "json")
                    let status = try JSONDecoder().decode(Status.self, from: Data(shown.output.utf8))
                    #expect(status.state == "ready")
                    #expect(status.processes.map(\.name) == ["scheduler", "small-1"])
                    #expect(status.processes.allSatisfy { $0.address != nil && $0.state != "starting" })
                    return status.processes.allSatisfy { $0.state == "ready" } ? status.processes : nil
                }
            }
            func killSupervisor() async throws {
                let text = try String(contentsOfFile: folder + "/state/supervisor.lock", encoding: .utf8)
                let pid = try #require(pid_t(text.prefix { $0.isNumber }))
                try #require(kill(pid, SIGKILL) == 0)
                _ = try await eventually("the supervisor is gone") { ProcessIdentity.of(pid) == nil ? true : nil }
            }
            do {
                let first = try await up().compactMap { ProcessIdentity.of($0.pid) }
                #expect(first.count == 2)
                try await killSupervisor()
                let second = try await up().compactMap { ProcessIdentity.of($0.pid) }
                // No twins.
                #expect(first.allSatisfy { !$0.isAlive } && second.count == 2)
                try await killSupervisor()
                let answer = try await martlet("down", "--output", "json")
                #expect(answer.status.isSuccess && answer.output == #"{"state":"stopped"}"# + "\n", "\(answer)")
                #expect(second.allSatisfy { !$0.isAlive })
                #expect(try await LocalStack(folder: folder + "/state").status().allSatisfy { $0.state == .stopped })
            } catch {
                _ = try await martlet("down")
                throw Unexpected("\(error)\nlogs are in \(folder)")
            }
            try FileManager.default.removeItem(atPath: folder)
        }

        @Test func upFailsAtOnceWhenTheSupervisorDoes() async throws {
            let folder = try TestFolders.make()
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let environment = try environment(folder)
            try FileManager.default.createDirectory(atPath: folder + "/state", withIntermediateDirectories: true)
            try Data("no ports".utf8).write(to: URL(filePath: folder + "/state/ports.json"))
            let began = ContinuousClock.now
            let answer = try await Fleet.command(Fleet.program, ["up"], environment: environment)
            #expect(.now - began < .seconds(100))
            #expect(answer.status == .exited(1), "\(answer)")
            #expect(answer.complaint.contains("ports.json"), "\(answer)")
        }

        @Test func processesSweepWhatOthersLeftAndStopWithTheirSupervisorsPipe() async throws {
            try await Fleet.run(pipelines: [:]) { fleet in
                // Of a worker that was killed.
                let left = fleet.folder + "/state/work/train-1@gone/run-train-1"
                try FileManager.default.createDirectory(atPath: left, withIntermediateDirectories: true)
                var lifeline: Lifeline? = try Lifeline()
                if let input = lifeline?.input {
                    try await fleet.start("scheduler-2", arguments: ["--until-end-of-input"], stdin: input)
                    try await fleet.start("small", arguments: ["--until-end-of-input"], stdin: input)
                }
                #expect(!FileManager.default.fileExists(atPath: left))
                lifeline = nil
                #expect(try await fleet.ended("scheduler-2") == .exited(0), "\(fleet.log("scheduler-2"))")
                #expect(try await fleet.ended("small") == .exited(0), "\(fleet.log("small"))")
            }
        }
    }
}
