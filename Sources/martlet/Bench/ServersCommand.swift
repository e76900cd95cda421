import ArgumentParser
import Configuration
import Foundation
import LocalStack
import Logging
import Telemetry

/// The servers of the local stack without Martlet's own processes: what the benchmarks measure against.
struct ServersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "servers",
        abstract: "Runs some of the local stack's servers in the foreground, and nothing else.",
        discussion: """
            Prints one line of JSON with the process ids once all of them answer. Commands with the same MARTLET_STATE
            find the servers; SIGTERM or SIGINT stops them.

              MARTLET_STATE=bench-state martlet servers rabbitmq redis postgresql
            """,
        shouldDisplay: false)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "rabbitmq, redis, postgresql, seaweedfs, mlflow; what they need is started too.")
    var servers: [String]

    /// How the settings of each server begin.
    private static let settings: [ServerName: String] = [
        .rabbitMQ: "MARTLET_AMQP", .redis: "MARTLET_REDIS", .postgres: "MARTLET_POSTGRES", .s3: "MARTLET_S3",
        .mlflow: "MARTLET_MLFLOW",
    ]

    func validate() throws {
        for name in servers where ServerName(rawValue: name) == nil {
            let known = ServerName.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("There is no server \"\(name)\"; there are \(known).")
        }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            _ = ProcessSetup.begin(settings)
            let state = try AbsolutePath.of(settings.paths.state)
            let stack = try LocalStack(folder: state, log: Logger(label: "martlet.servers"))
            // Before the start, so that a signal in the middle of it stops what is there by then.
            let (signalled, ring) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            let signals = Signals { ring.yield() }
            do {
                let processes = ProcessTable()
                let wanted = Set(servers.compactMap(ServerName.init(rawValue:)))
                let endpoints = try await stack.start(wanted) { progress in
                    if case .launched(let process) = progress.phase {
                        processes.note(progress.server, pid: process.pid)
                    }
                    Terminal.complain("\(progress)")
                }
                // What was not started has no address yet.
                let prefixes = wanted.compactMap { Self.settings[$0] }
                let environment = endpoints.environment.filter { setting in
                    prefixes.contains { setting.key.hasPrefix($0) }
                }
                try StackFile.write(environment, to: StackFile.path(state: state))
                Terminal.write(processes.line + "\n")
                for await _ in signalled { break }
            } catch {
                try? await stack.stop { Terminal.complain("\($0)") }
                throw error
            }
            withExtendedLifetime(signals) {}
            try await stack.stop { Terminal.complain("\($0)") }
        }
    }
}
