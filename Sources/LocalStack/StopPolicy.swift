import Glibc

/// How a server is asked to stop, known without its plan so that any invocation can stop it.
struct StopPolicy: Sendable {
    let signal: Int32
    /// How long a clean stop may take before the whole group is killed.
    let grace: Duration
    /// Whether the signal goes to the whole process group or to the server alone.
    let wholeGroup: Bool
}

extension ServerName {
    var stopPolicy: StopPolicy {
        switch self {
        case .epmd: StopPolicy(signal: SIGTERM, grace: .seconds(5), wholeGroup: true)
        case .rabbitMQ: StopPolicy(signal: SIGTERM, grace: .seconds(45), wholeGroup: false)
        case .redis: StopPolicy(signal: SIGTERM, grace: .seconds(15), wholeGroup: false)
        // Fast shutdown: sessions are ended, a checkpoint is written; the postmaster tells its children itself.
        case .postgres: StopPolicy(signal: SIGINT, grace: .seconds(30), wholeGroup: false)
        case .s3: StopPolicy(signal: SIGTERM, grace: .seconds(30), wholeGroup: false)
        case .mlflow: StopPolicy(signal: SIGTERM, grace: .seconds(20), wholeGroup: true)
        }
    }
}
