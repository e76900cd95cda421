import ArgumentParser
import Configuration
import Coordination
import Ledger
import LocalStack
import Pipeline

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows what runs on this machine, and where.",
        discussion: """
              martlet status
              martlet status --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    private struct Server: Encodable {
        var name: String
        var state: String
        var pid: Int32?
        var port: UInt16?
        var log: String
    }

    private struct Document: Encodable {
        var state: String
        var servers: [Server]
        var processes: [StatusBoard.Process]
        var mlflow: String?
        var counts: Ledger.Counts?
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let state = try AbsolutePath.of(settings.paths.state)
            let isUp = SupervisorLock.holder(state: state) != nil
            let board = isUp ? StatusBoard.read(state: state) : nil
            let stack = try LocalStack(folder: state)
            let servers = try await stack.status().map { server in
                let word =
                    switch server.state {
                    case .ready: "ready"
                    case .stopped: "stopped"
                    case .unhealthy(let reason): "unhealthy: \(reason.cut(to: 80))"
                    }
                return Server(
                    name: server.server.title, state: word, pid: server.pid, port: server.port, log: server.logFile)
            }
            let services = Services(quiet: settings, name: "martlet status")
            let counts = isUp ? try? await services.ledger(connections: 1).counts() : nil
            let document = Document(
                state: board?.phase.rawValue ?? "stopped", servers: servers, processes: board?.processes ?? [],
                mlflow: isUp ? settings.mlflow?.description : nil, counts: counts)
            switch format.output {
            case .json: print(try JSONText.of(document))
            case .table: show(document)
            }
            if !isUp { throw ExitCodes.failed }
        }
    }

    private func show(_ document: Document) {
        print("stack: \(document.state)\n")
        var table = Table(["PROCESS", "STATE", "PID", "PORT", "RESTARTS"])
        for server in document.servers {
            table.add([
                server.name, server.state, server.pid.map { String($0) } ?? "-", server.port.map { String($0) } ?? "-",
                "-",
            ])
        }
        for process in document.processes {
            table.add([process.name, "running", String(process.pid), "-", String(process.restarts)])
        }
        print(table.text, terminator: "")
        if let counts = document.counts {
            print(
                "\nruns alive \(counts.runsAlive), failed tasks \(counts.tasksDead), dead letters \(counts.deadLetters)"
            )
        }
        if let mlflow = document.mlflow { print("MLflow: \(mlflow)") }
    }
}
