import FoundationEssentials
package import RedisClient

/// A model server that says that it serves.
package struct ReplicaRecord: Hashable, Sendable, Codable {
    package enum State: String, Hashable, Sendable, Codable {
        case ready
        /// It takes no further requests, and ends when those that it has are answered.
        case draining
    }

    /// Unlike any other's, also across restarts.
    package var id: String
    package var model: String
    package var version: String
    /// The aliases that it follows and that this version has.
    package var aliases: [String]
    package var host: String
    package var port: Int
    /// The model's name at the server.
    package var servedName: String
    package var maximumInFlight: Int
    package var state: State
    /// Milliseconds since 1970; of two versions with the same alias the younger one has it.
    package var since: Int64

    package init(
        id: String, model: String, version: String, aliases: [String], host: String, port: Int, servedName: String,
        maximumInFlight: Int, state: State, since: Int64
    ) {
        self.id = id
        self.model = model
        self.version = version
        self.aliases = aliases
        self.host = host
        self.port = port
        self.servedName = servedName
        self.maximumInFlight = maximumInFlight
        self.state = state
        self.since = since
    }
}

extension Coordinator {
    /// How long a replica counts without a sign of life.
    package static let replicaLifetime = Duration.seconds(15)

    /// Says that a replica serves, or drains; to be said again well within its lifetime.
    package func announce(_ replica: ReplicaRecord) async throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(replica), as: UTF8.self)
        let known = try await redis.send(["GET", .string(keys.replica(replica.id))]).string
        var commands: [[RedisArgument]] = [
            [
                "SET", .string(keys.replica(replica.id)), .string(text), "PX",
                .integer(Self.replicaLifetime.milliseconds),
            ],
            ["SADD", .string(keys.replicas), .string(replica.id)],
        ]
        if known != text { commands.append(["PUBLISH", .string(keys.replicaChanges), .string(replica.id)]) }
        for reply in try await redis.pipeline(commands) { _ = try reply.get() }
    }

    /// The replicas that gave a sign of life.
    package func replicas() async throws -> [ReplicaRecord] {
        let reply = try await redis.run(
            Scripts.replicas, keys: [keys.replicas], arguments: [.string(keys.replica(""))])
        guard let records = reply.array else {
            throw CoordinationError.unexpectedReply(script: "replicas", reply: "\(reply)")
        }
        return try records.compactMap(\.string).map {
            try JSONDecoder().decode(ReplicaRecord.self, from: Data($0.utf8))
        }
    }

    /// Tells of every change of the replicas; also after a reconnection, when some may have been missed.
    package func replicaChanges() -> AsyncThrowingStream<RedisPubSubMessage, any Error> {
        redis.subscribe([keys.replicaChanges], patterns: [])
    }
}
