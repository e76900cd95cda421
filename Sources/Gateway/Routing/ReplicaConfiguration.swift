/// A model server that answers for one version of a model.
package struct ReplicaConfiguration: Hashable, Sendable {
    /// The model as clients name it, without version or alias: `security-qa`.
    package var model: String
    /// The version it serves: `7`.
    package var version: String
    /// Aliases of that version: `champion`, `challenger`.
    package var aliases: [String]
    /// An address or a name that the system resolves.
    package var host: String
    package var port: Int
    /// The model's name at the server; a request's is replaced with it.
    package var servedName: String
    /// Requests it is sent at the same time.
    package var maximumInFlight: Int
    /// Sent as a bearer token, if the server wants one.
    package var credential: String?
    /// Milliseconds since 1970; of two versions with the same alias the younger one has it.
    package var since: Int64 = 0
    /// Whether every address of the host's name is a replica.
    package var isName = false

    /// What makes it the same replica, whatever its version is called at the moment.
    var identity: ReplicaConfiguration {
        var identity = self
        identity.aliases = []
        identity.since = 0
        return identity
    }

    package init(
        model: String, version: String, aliases: [String] = [], host: String, port: Int, servedName: String,
        maximumInFlight: Int = 256, credential: String? = nil
    ) {
        self.model = model
        self.version = version
        self.aliases = aliases
        self.host = host
        self.port = port
        self.servedName = servedName
        self.maximumInFlight = maximumInFlight
        self.credential = credential
    }
}
