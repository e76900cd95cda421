import ArgumentParser
import Configuration
import Coordination
import Ledger
import Pipeline

struct PoolCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool", abstract: "Worker pools: how many workers, what they do.",
        discussion: """
              martlet pool list
              martlet pool scale train=2
            """,
        subcommands: [PoolListCommand.self, PoolScaleCommand.self])
}

struct PoolListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists pools with their workers and their work.",
        discussion: """
              martlet pool list
              martlet pool list --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    private struct Pool: Encodable {
        var name: String
        var desired: Int?
        var workers: [Coordinator.WorkerRecord]
        var ready: Int
        var inFlight: Int
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let services = Services(quiet: try global.load(), name: "martlet pool")
            let ledger = try services.ledger(connections: 1)
            let workers = try await services.coordinator().workers()
            let desired = try await ledger.pools()
            let demand = try await ledger.demand()
            let names = Set(workers.map(\.pool)).union(desired.keys).union(demand.map(\.pool))
            let pools = names.sorted().map { name in
                let work = demand.first { $0.pool == name }
                return Pool(
                    name: name, desired: desired[name], workers: workers.filter { $0.pool == name },
                    ready: work?.ready ?? 0, inFlight: work?.inFlight ?? 0)
            }
            switch format.output {
            case .json: print(try JSONText.of(pools))
            case .table:
                var table = Table(["POOL", "WORKERS", "WANTED", "BUSY", "SLOTS", "READY", "IN FLIGHT", "TASKS"])
                for pool in pools {
                    table.add([
                        pool.name, String(pool.workers.count), pool.desired.map { String($0) } ?? "-",
                        String(pool.workers.reduce(0) { $0 + $1.busy }),
                        String(pool.workers.reduce(0) { $0 + $1.slots }), String(pool.ready), String(pool.inFlight),
                        pool.workers.flatMap(\.tasks).joined(separator: " ").cut(to: 60),
                    ])
                }
                print(table.text, terminator: "")
            }
        }
    }
}

struct PoolScaleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale", abstract: "Sets how many worker processes pools have; in force within two seconds.",
        discussion: """
            Fewer: idle workers go first, and busy ones save or finish what they do.

              martlet pool scale train=2
              martlet pool scale preprocess=4 evaluate=0
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "pool=count, any number of them.")
    var sizes: [String]

    private struct Size: Encodable {
        var pool: String
        var desired: Int
        /// Whether a supervisor of this machine starts and stops the workers.
        var supervised: Bool
    }

    func validate() throws { _ = try parsed() }

    private func parsed() throws -> [(pool: String, count: Int)] {
        try sizes.map { word in
            let parts = word.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let count = Int(parts[1]), (0...1_000).contains(count) else {
                throw ValidationError("\(word): write pool=count, with a count from 0 to 1000")
            }
            return (String(parts[0]), count)
        }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let services = Services(quiet: settings, name: "martlet pool")
            let ledger = try services.ledger(connections: 1)
            let coordinator = try services.coordinator()
            let known = Set(
                try PipelineCatalogue.load(directory: settings.paths.pipelines).catalogue.pipelines.values
                    .flatMap { $0.stages.map(\.pool) }
            )
            .union(try await coordinator.workers().map(\.pool)).union(try await ledger.pools().keys)
            for (pool, count) in try parsed() {
                guard known.contains(pool) else {
                    Terminal.complain(
                        "martlet: there is no pool \(pool); there are \(known.sorted().joined(separator: ", "))")
                    throw ExitCodes.notFound
                }
                try await ledger.setPool(pool, desired: count, actor: Actor.name)
                try await coordinator.setDesired(pool: pool, workers: count)
            }
            let state = try AbsolutePath.of(settings.paths.state)
            let isSupervised = SupervisorLock.holder(state: state) != nil
            switch format.output {
            case .table: for (pool, count) in try parsed() { print("\(pool): \(count)") }
            case .json:
                print(
                    try JSONText.of(
                        try parsed().map { Size(pool: $0.pool, desired: $0.count, supervised: isSupervised) }))
            }
            if !isSupervised {
                Terminal.complain("no supervisor runs on this machine: the next `martlet up` starts as many")
            }
        }
    }
}
