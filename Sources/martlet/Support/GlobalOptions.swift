import ArgumentParser
import Configuration
import Logging
import Telemetry

/// What every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(help: "The settings file; config/martlet.yaml unless MARTLET_CONFIG names another.")
    var config: String?

    /// Reads the settings; the log goes to standard error.
    func load() throws -> MartletConfiguration {
        try MartletConfiguration.load(path: config)
    }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table
    case json
}

struct OutputOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .long], help: "table for people, json for programs.")
    var output = OutputFormat.table

    /// What happens on the way, for people: beside the document that a program reads.
    func note(_ text: String) {
        switch output {
        case .table: print("  " + text)
        case .json: Terminal.complain("  " + text)
        }
    }
}
