import RedisClient

extension Coordinator {
    /// What a gateway took of a key's limits since it told last.
    package struct LimitReport: Hashable, Sendable {
        package var key: Int
        /// Minutes since 1970.
        package var minute: Int
        package var requests: Int
        package var tokens: Int
        /// Of the minute before.
        package var earlierRequests: Int
        package var earlierTokens: Int
        package var inFlight: Int

        package init(
            key: Int, minute: Int, requests: Int, tokens: Int, earlierRequests: Int, earlierTokens: Int, inFlight: Int
        ) {
            self.key = key
            self.minute = minute
            self.requests = requests
            self.tokens = tokens
            self.earlierRequests = earlierRequests
            self.earlierTokens = earlierTokens
            self.inFlight = inFlight
        }
    }

    /// What all gateways took of a key's limits.
    package struct LimitSums: Hashable, Sendable {
        package var requests: Int
        package var tokens: Int
        package var earlierRequests: Int
        package var earlierTokens: Int
        package var inFlight: Int
    }

    /// Milliseconds after which the running requests of a gateway that says nothing count no more.
    private static let silence = 3_000

    /// Adds what this gateway took, and tells what all took, in the reports' order.
    /// - Parameter now: milliseconds since 1970.
    package func shareLimits(
        _ reports: [LimitReport], gateway: String, now: Int, timeout: Duration
    ) async throws -> [LimitSums] {
        guard !reports.isEmpty else {
            try await ping()
            return []
        }
        let replies = try await redis.pipeline(
            reports.map { report in
                Scripts.limits.command(
                    keys: [
                        keys.limits(report.key, minute: report.minute),
                        keys.limits(report.key, minute: report.minute - 1), keys.running(report.key),
                    ],
                    arguments: [
                        .string(gateway), .integer(report.requests), .integer(report.tokens),
                        .integer(report.earlierRequests), .integer(report.earlierTokens), .integer(report.inFlight),
                        .integer(now), .integer(Self.silence),
                    ])
            }, timeout: timeout)
        return try replies.map { reply in
            let values = try reply.get().array?.compactMap(\.int) ?? []
            guard values.count == 5 else {
                throw CoordinationError.unexpectedReply(script: "limits", reply: "\(reply)")
            }
            return LimitSums(
                requests: values[0], tokens: values[1], earlierRequests: values[2], earlierTokens: values[3],
                inFlight: values[4])
        }
    }

    /// Notes for which model servers a gateway works besides batches, and tells for which the others do.
    /// - Parameters:
    ///   - servers: their addresses.
    ///   - validity: of a note.
    package func shareBusy(
        _ servers: [String], gateway: String, validity: Duration, timeout: Duration
    ) async throws -> Set<String> {
        let (seconds, attoseconds) = validity.components
        let milliseconds = Int(seconds) * 1_000 + Int(attoseconds / 1_000_000_000_000_000)
        let reply = try await redis.pipeline(
            [
                Scripts.busy.command(
                    keys: [keys.busy],
                    arguments: [.string(gateway), .integer(milliseconds)] + servers.map { .string($0) })
            ], timeout: timeout
        ).first?.get()
        guard let busy = reply?.array?.map(\.string) as? [String] else {
            throw CoordinationError.unexpectedReply(script: "busy", reply: "\(String(describing: reply))")
        }
        return Set(busy)
    }
}
