package import Logging
package import Pipeline
package import RedisClient

/// Who is working on what now: claims, heartbeats, progress, cancel flags, workers. All of it can be lost at any
/// moment; the ledger and the workers' own heartbeats bring it back.
package struct Coordinator: Sendable {
    let redis: RedisClient
    let keys: Keys
    let logger: Logger

    /// How long the memory of a task outlives its last change: longer than any duplicate message can be late.
    static let taskLifetimeMilliseconds: Int64 = 24 * 3_600 * 1_000

    package init(redis: RedisClient, namespace: String = "martlet", logger: Logger) {
        self.redis = redis
        keys = Keys(namespace: namespace)
        self.logger = logger
    }

    // MARK: Claims

    package enum ClaimOutcome: Hashable, Sendable {
        case claimed
        /// Another attempt counts now.
        case stale
        /// This attempt has ended.
        case done
        /// Somebody else is at it, for this long at least.
        case held(Duration)
        /// It was claimed, and its holder is gone: the next attempt will come.
        case lost
        case cancelled
    }

    /// One attempt, as a worker wants it or has it.
    package struct Claim: Hashable, Sendable {
        package var task: TaskID
        package var attempt: Int
        package var token: ClaimToken
        /// The task runs whatever became of its run, so also when that was cancelled.
        package var isUncancellable: Bool

        package init(task: TaskID, attempt: Int, token: ClaimToken, isUncancellable: Bool = false) {
            self.task = task
            self.attempt = attempt
            self.token = token
            self.isUncancellable = isUncancellable
        }
    }

    /// Takes the leases of attempts; what became of each, in order.
    package func claim(_ claims: [Claim], worker: String, lease: Duration) async throws -> [ClaimOutcome] {
        guard !claims.isEmpty else { return [] }
        let reply = try await redis.run(
            Scripts.claim,
            keys: [keys.held(by: worker)]
                + claims.flatMap { [keys.task($0.task), keys.lease($0.task), keys.cancelled($0.task.run)] },
            arguments: [.string(worker), .integer(lease.milliseconds), .integer(Self.taskLifetimeMilliseconds)]
                + claims.flatMap { claim -> [RedisArgument] in
                    [
                        .integer(claim.attempt), .string(claim.token.description), .string(claim.task.description),
                        .integer(claim.isUncancellable ? 1 : 0),
                    ]
                })
        let outcomes = (reply.array ?? []).compactMap(Self.outcome)
        guard outcomes.count == claims.count else {
            throw CoordinationError.unexpectedReply(script: "claim", reply: "\(reply)")
        }
        return outcomes
    }

    private static func outcome(_ reply: RedisValue) -> ClaimOutcome? {
        switch reply.array?.first?.string {
        case "claimed": .claimed
        case "stale": .stale
        case "done": .done
        case "held": .held(.milliseconds(reply.array?.last?.int ?? 0))
        case "lost": .lost
        case "cancelled": .cancelled
        default: nil
        }
    }

    package enum HeartbeatReply: String, Hashable, Sendable {
        case ok
        /// Stop: the run was cancelled.
        case cancel
        /// Stop: somebody else has the task, or it has ended.
        case lost
    }

    /// Renews a lease.
    /// - Parameters:
    ///   - progress: JSON of at most a few KiB; nil leaves what was there.
    ///   - isUncancellable: as for the claim.
    package func heartbeat(
        _ task: TaskID, attempt: Int, token: ClaimToken, worker: String, lease: Duration, progress: JSONValue?,
        isUncancellable: Bool = false
    ) async throws -> HeartbeatReply {
        let text = progress?.canonicalJSON ?? ""
        let reply = try await redis.run(
            Scripts.heartbeat,
            keys: [
                keys.task(task), keys.lease(task), keys.cancelled(task.run), keys.progress(task),
                keys.held(by: worker),
            ],
            arguments: [
                .integer(attempt), .string(token.description), .string(worker), .integer(lease.milliseconds),
                .integer(Self.taskLifetimeMilliseconds), .string(text), .string(task.description),
                .integer(isUncancellable ? 1 : 0),
            ])
        guard let answer = reply.string.flatMap(HeartbeatReply.init(rawValue:)) else {
            throw CoordinationError.unexpectedReply(script: "heartbeat", reply: "\(reply)")
        }
        return answer
    }

    /// Ends claims, once the attempts' results are safe.
    package func finish(_ claims: [Claim], worker: String) async throws {
        guard !claims.isEmpty else { return }
        _ = try await redis.run(
            Scripts.finish,
            keys: [keys.held(by: worker)] + claims.flatMap { [keys.task($0.task), keys.lease($0.task)] },
            arguments: [.integer(Self.taskLifetimeMilliseconds)]
                + claims.flatMap { claim -> [RedisArgument] in
                    [
                        .integer(claim.attempt), .string(claim.token.description), .string(claim.task.description),
                    ]
                })
    }

    // MARK: What the ledger says

    /// Says which attempt of each task counts, before the tasks are sent.
    package func mirror(_ attempts: [(task: TaskID, attempt: Int)]) async throws {
        guard !attempts.isEmpty else { return }
        _ = try await redis.run(
            Scripts.mirror, keys: attempts.map { keys.task($0.task) },
            arguments: [.integer(Self.taskLifetimeMilliseconds)] + attempts.map { .integer($0.attempt) })
    }

    package func setCancelled(_ run: RunID) async throws {
        _ = try await redis.send([
            "SET", .string(keys.cancelled(run)), "1", "PX", .integer(Self.taskLifetimeMilliseconds),
        ])
    }

    package func clearCancelled(_ run: RunID) async throws {
        _ = try await redis.send(["DEL", .string(keys.cancelled(run))])
    }

    // MARK: How attempts stand

    package struct LeaseState: Hashable, Sendable {
        package enum Standing: Hashable, Sendable {
            /// Redis has never heard of the task, or forgot.
            case unknown
            case dispatched
            /// Claimed, and the lease lives.
            case alive
            /// Claimed, and nobody renews the lease.
            case abandoned
            case done
        }

        /// The attempt that Redis knows; 0 for none.
        package var attempt: Int
        package var standing: Standing
        package var worker: String?

        package init(attempt: Int, standing: Standing, worker: String?) {
            self.attempt = attempt
            self.standing = standing
            self.worker = worker
        }
    }

    /// How tasks stand, in the order asked.
    package func standings(of tasks: [TaskID]) async throws -> [LeaseState] {
        guard !tasks.isEmpty else { return [] }
        let reply = try await redis.run(
            Scripts.leases, keys: tasks.flatMap { [keys.task($0), keys.lease($0)] }, arguments: [])
        guard let rows = reply.array, rows.count == tasks.count else {
            throw CoordinationError.unexpectedReply(script: "leases", reply: "\(reply)")
        }
        return rows.map { row in
            let fields = row.array ?? []
            let attempt = fields.first?.string.flatMap { Int($0) } ?? 0
            let alive = (fields.count > 2 ? fields[2].int ?? -2 : -2) > 0
            let worker = fields.count > 3 ? fields[3].string.flatMap { $0.isEmpty ? nil : $0 } : nil
            let standing: LeaseState.Standing =
                switch fields.count > 1 ? fields[1].string : nil {
                case "dispatched": .dispatched
                case "claimed": alive ? .alive : .abandoned
                case "done": .done
                default: .unknown
                }
            return LeaseState(attempt: attempt, standing: standing, worker: worker)
        }
    }

    /// Drops the leases of a worker that is dead, so that its tasks need not wait for them to run out.
    /// - Parameter instance: claims of this instance of the worker are kept; nil drops all.
    /// - Returns: the tasks that lost their lease.
    @discardableResult
    package func release(worker: String, keepingInstance instance: String?) async throws -> [String] {
        let reply = try await redis.run(
            Scripts.releaseWorker, keys: [keys.held(by: worker)],
            arguments: [
                .string(worker), .string(keys.taskPrefix), .string(keys.leasePrefix),
                .string(instance.map { $0 + "." } ?? ""),
            ])
        let tasks = (reply.array ?? []).compactMap(\.string)
        if !tasks.isEmpty { _ = try await redis.send(["PUBLISH", .string(keys.wake), "released"]) }
        return tasks
    }
}

extension Duration {
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
    }
}

extension Coordinator {
    /// - Throws: when Redis does not answer.
    package func ping() async throws {
        _ = try await redis.send(["PING"])
    }
}

extension Coordinator {
    /// Matches every key of this fleet, for tests that take them away.
    package var keyPattern: String { keys.pattern }
}
