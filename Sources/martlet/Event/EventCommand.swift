import AMQPClient
import ArgumentParser
import Broker
import Configuration
import Foundation
import Ledger
import Logging
import Pipeline
import Scheduler
import Telemetry

struct EventCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "event", abstract: "Tells the fleet of new data.",
        discussion: "  martlet event publish security-qa --parameter source=s3://data/cwe.jsonl --wait",
        subcommands: [PublishCommand.self])
}

struct PublishCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish",
        abstract: "Publishes an event: run this pipeline on this data.",
        discussion: """
            An event with a known --id and --source starts nothing: it is safe to publish it again.

              martlet event publish security-qa --parameter source=s3://data/cwe.jsonl
              martlet event publish security-qa --parameter source=file:///data/cwe --id nightly-2026-03-01
              martlet event publish security-qa -p learning_rate=0.0005 -p promote=false --wait
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Argument(help: "The pipeline to run.")
    var pipeline: String

    @Option(
        name: [.customShort("p"), .customLong("parameter")],
        help: "name=value, overriding the pipeline's default; the value is read as JSON where it is JSON.")
    var parameters: [String] = []

    @Option(help: "Unique in its source; a random one by default.")
    var id: String?

    @Option(help: "Who publishes.")
    var source = "/martlet/cli"

    @Option(help: "Higher runs first; the pipeline's own by default.")
    var priority: Int?

    @Flag(help: "Wait until the event has become a run, and print its id.")
    var wait = false

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let logger = Logger(label: "martlet.event") { _ in SwiftLogNoOpLogHandler() }
            let services = Services(configuration: settings, name: "martlet event", logger: logger)
            let data = DataAvailable(
                pipeline: pipeline, parameters: try ParameterList.parse(parameters), priority: priority)
            let event = CloudEvent(
                type: MessageType.dataAvailable, source: source, id: id ?? UUID().uuidString.lowercased(), time: .now,
                traceparent: TraceContext.root().traceparent, data: data)
            // What the scheduler would refuse is refused here, where somebody reads it, if the pipelines are at hand.
            if let known = try? await FilePipelines(directory: settings.paths.pipelines, logger: logger).pipelines() {
                guard let entry = known[pipeline] else {
                    Terminal.complain(
                        "martlet: there is no pipeline \"\(pipeline)\"; there are \(known.keys.sorted().joined(separator: ", "))"
                    )
                    throw ExitCodes.notFound
                }
                _ = try RunParameters.resolve(declared: entry.spec.parameters, overrides: data.parameters ?? [:])
            }
            let broker = try services.broker()
            try await broker.client.connect()
            try await broker.publish(event, timeout: .seconds(10))
            await broker.client.close()
            let run = wait ? try await self.run(of: event, services) : nil
            switch format.output {
            case .table:
                print("published event \(event.id)" + (run.map { "; run \($0)" } ?? ""))
            case .json:
                print(
                    JSONValue.object([
                        "event": .string(event.id), "source": .string(source), "pipeline": .string(pipeline),
                        "run": run.map { .string($0.description) } ?? .null,
                    ]).canonicalJSON)
            }
        }
    }

    private func run(of event: CloudEvent<DataAvailable>, _ services: Services) async throws -> RunID {
        let ledger = try services.ledger(connections: 1)
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            if let run = try await ledger.run(ofEvent: event.id, source: event.source) { return run }
            try await Task.sleep(for: .milliseconds(50))
        }
        Terminal.complain(
            "martlet: no scheduler took the event within 30 s; it waits in the queue, or look into `martlet failed list`"
        )
        throw ExitCodes.unreachable
    }
}
