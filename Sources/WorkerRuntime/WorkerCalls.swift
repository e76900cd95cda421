import AMQPClient
import Broker
import Coordination
import Logging

/// What all attempts of a worker ask of Redis and of the broker: at thousands of tasks a second, many at a time.
struct WorkerCalls: Sendable {
    /// Of results in one message, unless a single one has more: a scheduler has up to a thousand messages in hand.
    private static let maximumReportBytes = 64 << 10
    private static let maximumClaims = 128

    private let claims: Combiner<Coordinator.Claim, Coordinator.ClaimOutcome>
    private let reports: Combiner<Broker.Report, Void>
    private let endings: Combiner<Coordinator.Claim, Void>
    private let logger: Logger

    init(services: WorkerServices, configuration: WorkerConfiguration, logger: Logger) {
        self.logger = logger
        claims = Combiner(limit: Self.maximumClaims) { claims in
            await Self.forAll(claims) {
                try await services.coordinator.claim(claims, worker: configuration.id, lease: configuration.lease)
            }
        }
        reports = Combiner(limit: Self.maximumReportBytes) { await Self.send($0, to: services.broker) }
        endings = Combiner(limit: Self.maximumClaims) { claims in
            await Self.forAll(claims) {
                try await services.coordinator.finish(claims, worker: configuration.id)
                return claims.map { _ in }
            }
        }
    }

    /// Takes the lease of an attempt.
    func claim(_ claim: Coordinator.Claim) async throws -> Coordinator.ClaimOutcome {
        try await claims.ask(for: claim)
    }

    /// Sends a result; returns when the broker has it.
    func send(_ report: Broker.Report) async throws {
        try await reports.ask(for: report, cost: report.bytes)
    }

    /// Ends a claim whose result the broker has.
    func end(_ claim: Coordinator.Claim) async {
        do {
            try await endings.ask(for: claim)
        } catch {
            // The lease runs out by itself, and the ledger has the result.
            logger.warning("claim not ended", metadata: ["task": "\(claim.task)", "error": "\(error)"])
        }
    }

    /// What was asked of one server for several fails for all of them.
    private static func forAll<Item: Sendable, Answer: Sendable>(
        _ items: [Item], _ body: () async throws -> [Answer]
    ) async -> [Result<Answer, any Error>] {
        do {
            return try await body().map { .success($0) }
        } catch {
            return items.map { _ in .failure(error) }
        }
    }

    private static func send(_ reports: [Broker.Report], to broker: Broker) async -> [Result<Void, any Error>] {
        do {
            try await broker.publish(reports, timeout: .seconds(30))
            return reports.map { _ in .success(()) }
        } catch let error as AMQPError where reports.count > 1 && error.code.isOfTheMessage {
            // One of them may be what the broker does not take: the others must not suffer.
            var results: [Result<Void, any Error>] = []
            for report in reports { results += await send([report], to: broker) }
            return results
        } catch {
            return reports.map { _ in .failure(error) }
        }
    }
}

extension AMQPError.Code {
    /// The message itself is at fault: it will never be taken as it is.
    var isOfTheMessage: Bool { self == .messageTooLarge || self == .invalidMessage }
}
