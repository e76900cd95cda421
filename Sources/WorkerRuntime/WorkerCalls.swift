import AMQPClient
import Broker
import Coordination
import Logging

/// What all attempts of a worker ask of Redis and of the broker: at thousands of tasks a second, many at a time.
struct WorkerCalls: Sendable {
    private struct Ending: Sendable {
        var report: Broker.Report
        var claim: Coordinator.Claim
    }

    /// Of results in one message, unless a single one has more: the schedulers hold some hundred messages.
    private static let maximumReportBytes = 256 << 10
    private static let maximumClaims = 128

    private let claims: Combiner<Coordinator.Claim, Coordinator.ClaimOutcome>
    private let endings: Combiner<Ending, Void>

    init(services: WorkerServices, configuration: WorkerConfiguration, logger: Logger) {
        claims = Combiner(limit: Self.maximumClaims) { claims in
            do {
                return try await services.coordinator.claim(
                    claims, worker: configuration.id, lease: configuration.lease
                ).map { .success($0) }
            } catch {
                return claims.map { _ in .failure(error) }
            }
        }
        endings = Combiner(limit: Self.maximumReportBytes) { endings in
            let results = await Self.send(endings.map(\.report), to: services.broker)
            let ended = zip(endings, results).filter { (try? $0.1.get()) != nil }.map(\.0.claim)
            do {
                try await services.coordinator.finish(ended, worker: configuration.id)
            } catch {
                // The leases run out by themselves, and the ledger has the results.
                logger.warning("claims not ended", metadata: ["count": "\(ended.count)", "error": "\(error)"])
            }
            return results
        }
    }

    /// Takes the lease of an attempt.
    func claim(_ claim: Coordinator.Claim) async throws -> Coordinator.ClaimOutcome {
        try await claims.ask(for: claim)
    }

    /// Sends a result and ends the claim; returns when the broker has the result.
    func report(_ report: Broker.Report, of claim: Coordinator.Claim) async throws {
        try await endings.ask(for: Ending(report: report, claim: claim), cost: report.bytes)
    }

    private static func send(_ reports: [Broker.Report], to broker: Broker) async -> [Result<Void, any Error>] {
        do {
            try await broker.publish(reports, timeout: .seconds(30))
            return reports.map { _ in .success(()) }
        } catch let error as AMQPError where reports.count > 1 && !error.isRetryable {
            // One of them may be what the broker does not take: the others must not suffer.
            var results: [Result<Void, any Error>] = []
            for report in reports { results += await send([report], to: broker) }
            return results
        } catch {
            return reports.map { _ in .failure(error) }
        }
    }
}
