import Coordination
import Logging
import Pipeline
import RedisClient
import TestServers

/// A coordinator with keys of its own, and the client that it uses, closed on both paths.
func withCoordinator<T: Sendable>(_ body: (Coordinator, RedisClient) async throws -> T) async throws -> T {
    try await withCoordinator(at: try await TestServers.shared.redis(), body)
}

func withCoordinator<T: Sendable>(
    at url: String, _ body: (Coordinator, RedisClient) async throws -> T
) async throws -> T {
    let client = RedisClient(configuration: try RedisConfiguration(url: url), logger: Logger(label: "test"))
    let coordinator = Coordinator(
        redis: client, namespace: "test\(UInt64.random(in: 0 ... .max))", logger: Logger(label: "test"))
    do {
        let result = try await body(coordinator, client)
        await client.close()
        return result
    } catch {
        await client.close()
        throw error
    }
}

/// Waits until `condition` holds; the test's time limit bounds it.
func eventually(_ condition: () async throws -> Bool) async throws {
    while try await !condition() { try await Task.sleep(for: .milliseconds(10)) }
}

/// One worker's claim of one attempt.
struct Claim: Sendable {
    var coordinator: Coordinator
    var task = TaskID(run: RunID("r1"), stage: "a")
    var attempt = 1
    var token = ClaimToken("i1.t1")
    var worker = "w1"
    var lease = Duration.seconds(30)

    var wanted: Coordinator.Claim { Coordinator.Claim(task: task, attempt: attempt, token: token) }

    func claim() async throws -> Coordinator.ClaimOutcome {
        try await coordinator.claim([wanted], worker: worker, lease: lease)[0]
    }

    func heartbeat(_ progress: JSONValue? = nil) async throws -> Coordinator.HeartbeatReply {
        try await coordinator.heartbeat(
            task, attempt: attempt, token: token, worker: worker, lease: lease, progress: progress)
    }

    func finish() async throws {
        try await coordinator.finish([wanted], worker: worker)
    }

    func standing() async throws -> Coordinator.LeaseState? {
        try await coordinator.standings(of: [task]).first
    }

    func by(_ worker: String, token: String, attempt: Int? = nil) -> Claim {
        var other = self
        other.worker = worker
        other.token = ClaimToken(token)
        if let attempt { other.attempt = attempt }
        return other
    }
}

/// Drops all keys of one coordinator, as a FLUSHALL of its own server would.
func forget(_ coordinator: Coordinator, _ redis: RedisClient) async throws {
    let keys = try await redis.send(["KEYS", .string(coordinator.keyPattern)]).array?.compactMap(\.string) ?? []
    if !keys.isEmpty { _ = try await redis.send(["DEL"] + keys.map { .string($0) }) }
}
