extension MartletConfiguration {
    /// The model server of this machine.
    package struct Serving: Hashable, Sendable {
        /// Where the engines listen; gateways of other machines must reach it.
        package var host = "127.0.0.1"
        /// The Python environment with vLLM; nil for the one that Martlet makes itself.
        package var python: String?
        /// More arguments for vLLM, such as `--max-model-len 2048`, with commas between them.
        package var arguments: [String] = []
        /// A program instead of vLLM, and its arguments, with commas between them; see `martlet serve --help`.
        package var command: [String] = []
        /// Requests that an engine is sent at the same time.
        package var maximumInFlight = 256
        /// GiB of memory for keys and values, on a machine without a GPU.
        package var cacheGiB = 1
        /// Cores that an engine's threads share, on a machine without a GPU; nil for all of them.
        package var engineCores: Int?
    }
}

/// Reads how models are served.
struct ServingSettings {
    private(set) var serving = MartletConfiguration.Serving()

    init(_ sources: SettingSources) {
        serving.host = sources.text(.servingHost, standard: serving.host) ?? serving.host
        serving.python = sources.text(.servingPython)
        serving.arguments = sources.list(
            .servingArguments, expected: "arguments of vLLM, with commas between them", isValid: { !$0.isEmpty })
        serving.command = sources.list(
            .servingCommand, expected: "a program and its arguments, with commas between them",
            isValid: { !$0.isEmpty })
        serving.maximumInFlight = sources.count(
            .servingMaximumInFlight, standard: serving.maximumInFlight, in: 1...100_000)
        let cores = sources.count(.servingEngineCores, standard: 0, in: 0...10_000)
        serving.engineCores = cores == 0 ? nil : cores
        serving.cacheGiB = sources.count(.servingCache, standard: serving.cacheGiB, in: 1...10_000)
    }
}
