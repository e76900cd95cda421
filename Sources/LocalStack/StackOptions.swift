/// How a local stack is run.
package struct StackOptions: Sendable {
    /// Whether the data must survive a power cut.
    package enum Durability: Sendable {
        /// Everything is synchronised to disk: `martlet up`.
        case durable
        /// As fast as possible; a crash of the machine may lose the data: tests.
        case throwaway
    }

    /// Whether the data must survive a power cut.
    package var durability: Durability
    /// Buckets that exist once S3 is ready.
    package var buckets: [String]
    /// The project's folder, where `config/python/services.lock` and `deploy/python/env.sh` are looked for;
    /// when nil, the first folder that has them, from the working directory upwards.
    package var projectFolder: String?
    /// Whether a missing Python environment is built (minutes) or is an error.
    package var buildsPythonEnvironment: Bool
    /// How much longer than usual a server may take to become ready, for slow machines; 1 is as measured.
    package var patience: Double
    /// How long to wait for another invocation that is starting or stopping the same stack.
    package var lockTimeout: Duration

    /// What `martlet up` uses.
    package static let durable = StackOptions(durability: .durable, buildsPythonEnvironment: true)
    /// What tests use.
    package static let throwaway = StackOptions(durability: .throwaway, buildsPythonEnvironment: false)

    package init(
        durability: Durability, buckets: [String] = ["martlet", "mlflow"], projectFolder: String? = nil,
        buildsPythonEnvironment: Bool, patience: Double = 1, lockTimeout: Duration = .seconds(300)
    ) {
        self.durability = durability
        self.buckets = buckets
        self.projectFolder = projectFolder
        self.buildsPythonEnvironment = buildsPythonEnvironment
        self.patience = patience
        self.lockTimeout = lockTimeout
    }
}
