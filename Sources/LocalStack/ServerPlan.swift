/// Everything needed to run one server as a child process.
struct ServerPlan: Sendable {
    let executable: String
    /// Visible to every user of the machine: no secrets.
    let arguments: [String]
    let environment: [String: String]
    let workingDirectory: String
}
