extension LocalStack {
    /// What the supervision of the servers did.
    package enum SupervisionEvent: Sendable {
        /// A server ended without being asked to; it is started again after the delay.
        case ended(ServerExit, restartAfter: Duration)
        /// It answers again.
        case restarted(ServerName)
        /// The attempt failed; the next one follows after the delay.
        case restartFailed(ServerName, any Error, retryAfter: Duration)
    }

    /// Starts every server again that ends without being asked to, with exponential backoff, until the
    /// calling task is cancelled. Consumes `exits`; servers keep running when it returns.
    package func supervise(report: @escaping @Sendable (SupervisionEvent) -> Void = { _ in }) async {
        await withDiscardingTaskGroup { group in
            var backoffs: [ServerName: RestartBackoff] = [:]
            for await exit in exits {
                var backoff = backoffs[exit.server] ?? RestartBackoff()
                let delay = backoff.delay(afterUptime: exit.uptime)
                backoffs[exit.server] = backoff
                report(.ended(exit, restartAfter: delay))
                group.addTask { [backoff] in
                    await self.revive(exit.server, after: delay, backoff, report)
                }
            }
        }
    }

    private nonisolated func revive(
        _ server: ServerName, after first: Duration, _ backoff: RestartBackoff,
        _ report: @Sendable (SupervisionEvent) -> Void
    ) async {
        var backoff = backoff
        var delay = first
        while (try? await Task.sleep(for: delay)) != nil {
            do {
                // Its own dependencies may be down for the same reason; starting covers them.
                try await start([server])
                report(.restarted(server))
                return
            } catch {
                delay = backoff.delay(afterUptime: .zero)
                report(.restartFailed(server, error, retryAfter: delay))
            }
        }
    }
}
