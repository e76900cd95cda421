/// What a model server serves, and how.
package struct ServingConfiguration: Sendable {
    /// The registered model: `security-qa`.
    package var model: String
    /// The aliases whose versions are served side by side: `champion`, `challenger`.
    package var aliases: [String]
    /// Where the engines listen, and what the gateways are told.
    package var host: String
    /// The program that is the engine, and its arguments. `{model}` stands for the folder of the weights, `{name}` for the
    /// name it must serve them under, `{host}` and `{port}` for where it must listen.
    package var command: [String]
    package var environment: [String: String]
    /// Cores of this machine that an engine's threads share; nil for all of them.
    package var coresPerEngine: Int?
    /// Requests that one engine is sent at the same time, at most.
    package var maximumInFlight: Int
    /// A folder on a disk that outlives the process: weights, logs, and what was served last.
    package var state: String
    /// Between two looks at the registry.
    package var interval = Duration.seconds(3)
    /// From an engine's start until it answers.
    package var startLimit = Duration.seconds(600)
    /// For the requests of an engine that is replaced.
    package var drainLimit = Duration.seconds(900)
    /// At least so long passes between an engine's replacement and its end: gateways hear of it within a second.
    package var drainAtLeast = Duration.seconds(3)
    /// What the engines want as a bearer token, if they want one; they get it in their environment.
    package var credential: String?
    /// Memory that an engine needs beside its weights and its cache, in bytes: its program and what it works with.
    package var overhead: Int64 = 2 << 30
    /// What it takes of the machine's memory for its cache, in bytes, where there is no GPU.
    package var cache: Int64 = 0

    package init(
        model: String, aliases: [String], host: String, command: [String], environment: [String: String],
        maximumInFlight: Int, state: String
    ) {
        self.model = model
        self.aliases = aliases
        self.host = host
        self.command = command
        self.environment = environment
        self.maximumInFlight = maximumInFlight
        self.state = state
    }
}

/// Why a version cannot be served.
package struct ServingError: Error, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
