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
        var startedAt: Timestamp?
        var log: String
    }

    /// A process of Martlet's own.
    private struct Member: Encodable {
        var name: String
        var state: String
        var pid: Int32
        /// Where it serves health and metrics.
        var address: String?
        var startedAt: Timestamp
        var restarts: Int
    }

    private struct Document: Encodable {
        var state: String
        var servers: [Server]
        var processes: [Member]
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
                let age = server.runningFor.map { $0 / .seconds(1) }
                return Server(
                    name: server.server.title, state: word, pid: server.pid, port: server.port,
                    startedAt: age.map { Timestamp(microseconds: Timestamp.now.microseconds - Int64($0 * 1e6)) },
                    log: server.logFile)
            }
            let services = Services(quiet: settings, name: "martlet status")
            let counts = isUp ? try? await services.ledger(connections: 1).counts() : nil
            let document = Document(
                state: board?.phase.rawValue ?? "stopped", servers: servers,
                processes: await members(of: board?.processes ?? []), mlflow: isUp ? settings.mlflow?.description : nil,
                counts: counts)
            switch format.output {
            case .json: print(try JSONText.of(document))
            case .table: show(document)
            }
            if !isUp { throw ExitCodes.failed }
        }
    }

    private func since(_ start: Timestamp?) -> String {
        start.map { Age.text(from: $0, to: .now) } ?? "-"
    }

    /// Asks every process how it is.
    private func members(of processes: [StatusBoard.Process]) async -> [Member] {
        await withTaskGroup(of: Member.self) { group in
            for process in processes {
                group.addTask {
                    var state = "gone"
                    if process.identity?.isAlive != false {
                        switch await LocalStack.httpStatus(port: process.port ?? 0, path: "/readyz") {
                        case 200: state = "ready"
                        case nil: state = process.isReady == true ? "does not answer" : "starting"
                        default: state = process.isReady == true ? "not ready" : "starting"
                        }
                    }
                    return Member(
                        name: process.name, state: state, pid: process.pid,
                        address: process.port.map { "127.0.0.1:\($0)" }, startedAt: process.startedAt,
                        restarts: process.restarts)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.name < $1.name }
        }
    }

    private func show(_ document: Document) {
        print("stack: \(document.state)\n")
        var table = Table(["PROCESS", "STATE", "PID", "ADDRESS", "SINCE", "RESTARTS"])
        for server in document.servers {
            table.add([
                server.name, server.state, server.pid.map { String($0) } ?? "-",
                server.port.map { "127.0.0.1:\($0)" } ?? "-", since(server.startedAt), "-",
            ])
        }
        for process in document.processes {
            table.add([
                process.name, process.state, String(process.pid), process.address ?? "-", since(process.startedAt),
                String(process.restarts),
            ])
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
