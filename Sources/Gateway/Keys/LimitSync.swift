import Coordination
import Foundation
import Logging

/// Compares what was taken of the keys' limits with the other gateways, through Redis.
///
/// Requests never wait for it: each gateway decides by its own count and what it heard last, so that together they may
/// let pass, beyond a limit, what comes within one interval.
struct LimitSync: Sendable {
    let table: KeyTable
    let coordinator: Coordinator
    /// This gateway's name, unlike the others'.
    let name: String
    let log: Logger

    private static let interval = Duration.milliseconds(200)
    /// Without an answer for so long, the limits count as not comparable.
    private static let patience = Duration.seconds(2)

    /// Until it is cancelled.
    func run() async {
        var last = ContinuousClock.now - Self.patience
        while !Task.isCancelled {
            do {
                try await share()
                if !table.isShared { log.notice("limits are compared with the other gateways") }
                table.isShared = true
                last = .now
            } catch {
                guard !Task.isCancelled else { return }
                if ContinuousClock.now - last > Self.patience, table.isShared {
                    log.warning(
                        "limits cannot be compared with the other gateways; each key's setting decides what passes",
                        metadata: ["error": "\(error)"])
                    table.isShared = false
                    for key in table.all { key.forgetOthers() }
                }
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func share() async throws {
        let now = Date().timeIntervalSince1970
        let reports = table.all.compactMap { key in key.report(now: now).map { (key, $0) } }
        let sums = try await coordinator.shareLimits(
            reports.map { key, report in
                Coordinator.LimitReport(
                    key: key.id, minute: report.minute, requests: report.current.requests,
                    tokens: report.current.tokens, earlierRequests: report.earlier.requests,
                    earlierTokens: report.earlier.tokens, inFlight: report.inFlight)
            }, gateway: name, now: Int(now * 1_000), timeout: Self.patience)
        for ((key, report), sum) in zip(reports, sums) {
            key.take(
                report, current: KeyState.Amount(requests: sum.requests, tokens: sum.tokens),
                earlier: KeyState.Amount(requests: sum.earlierRequests, tokens: sum.earlierTokens),
                inFlight: sum.inFlight)
        }
    }
}
