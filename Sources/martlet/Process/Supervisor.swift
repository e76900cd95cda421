import AMQPClient
import Broker
import Configuration
import Coordination
import Foundation
import HTTPTransport
import Ledger
import LocalStack
import Logging
import ObjectStorage
import Pipeline

/// Runs the stack of one machine: the servers, a scheduler, and the workers of every pool.
final class Supervisor: Sendable {
    let state: String
    private let config: String?
    /// How long workers may take to stop.
    private let grace: Duration
    private let logger: Logger
    private let stack: LocalStack
    private let board: StatusBoard

    init(state: String, config: String?, grace: Duration, logger: Logger) throws {
        self.state = state
        self.config = config
        self.grace = grace
        self.logger = logger
        stack = try LocalStack(folder: state, log: logger)
        board = StatusBoard(state: state)
    }

    /// Starts everything, keeps it running until the surrounding task is cancelled, and stops it again.
    func run() async throws {
        let lock = try SupervisorLock(state: state)
        // To the end of every path.
        defer { withExtendedLifetime(lock) {} }
        let leftovers = Leftovers.find(state: state)
        board.begin(with: leftovers)
        do {
            await Leftovers.stop(leftovers, grace: grace) { board.note($0) }
            try Task.checkCancellation()
            let endpoints = try await stack.start { [board] progress in board.note("\(progress)") }
            try StackFile.write(endpoints.environment, to: StackFile.path(state: state))
            // Read again: the endpoints are in force now.
            let settings = try MartletConfiguration.load(path: config)
            let services = Services(configuration: settings, name: "martlet supervisor", logger: logger)
            try await prepare(services)
            let fleet = try LocalFleet(
                stack: stack, config: config, coordinator: try services.coordinator(), ledger: try services.ledger(),
                pipelines: settings.paths.pipelines, grace: grace, board: board, logger: logger)
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await self.stack.supervise { event in self.logger.warning("server", metadata: ["event": "\(event)"])
                    }
                }
                group.addTask { await fleet.run() }
                await group.waitForAll()
            }
        } catch {
            let isStopped = Task.isCancelled
            if isStopped { board.stopping() } else { board.note("\(error)") }
            // Whatever did start must not stay behind; that it failed is what counts, and is told below.
            try? await stopServers()
            guard !isStopped else { return board.end() }
            // Last: whoever waits for the board may go on now.
            board.fail()
            throw error
        }
        board.note("stopping the servers")
        try await stopServers()
        board.end()
    }

    private func stopServers() async throws {
        // Perhaps cancelled by now, and stopping must not be: a task of its own.
        let stopping = Task { [stack, board] in try await stack.stop { board.note("\($0)") } }
        try await stopping.value
    }

    private func prepare(_ services: Services) async throws {
        board.note("preparing the ledger, the queues and the bucket")
        let ledger = try services.ledger(connections: 1)
        try await ledger.migrate()
        let broker = try services.broker()
        try await broker.declare()
        await broker.client.close()
        let transport = services.transport()
        let storage = try services.storage(transport)
        try await storage.createBucket(services.configuration.s3.bucket)
        await transport.close()
    }
}
