import HTTPWire
import Metrics
import NIOCore

/// The second try of a request that another replica is slow to answer: whoever answers first is taken, the other one is
/// told to stop. Used on one event loop.
final class Hedge: UpstreamReceiver {
    private let exchange: Exchange
    private var grant: Admission.Grant?
    private var connection: UpstreamConnection?
    /// Whether the answer that the client gets is this one's.
    private var hasWon = false

    private init(_ exchange: Exchange, _ grant: Admission.Grant) {
        self.exchange = exchange
        self.grant = grant
    }

    /// Asks another replica, if one has a place at once and the budget for further tries allows it.
    static func begin(_ exchange: Exchange) -> Hedge? {
        guard let slow = exchange.grant?.replica else { return nil }
        var ask = exchange.ask
        ask.excluded.append(slow.id)
        guard let grant = exchange.core.admission.takeNow(ask) else { return nil }
        // The place first: where there is none the budget is not touched.
        guard grant.replica !== slow, exchange.core.admission.mayRetry(exchange.deployment.id) else {
            exchange.core.admission.release(grant, .unknown)
            return nil
        }
        let hedge = Hedge(exchange, grant)
        if let connection = exchange.loop.takeConnection(to: grant.replica) {
            hedge.send(on: connection)
        } else {
            exchange.loop.connect(to: grant.replica) { result in
                guard hedge.grant != nil else {
                    if case .success(let connection) = result { exchange.loop.keep(connection) }
                    return
                }
                switch result {
                case .success(let connection): hedge.send(on: connection)
                case .failure: hedge.lose(.failure)
                }
            }
        }
        // A kept connection may have ended while it was written to.
        return hedge.grant == nil ? nil : hedge
    }

    private func send(on connection: UpstreamConnection) {
        self.connection = connection
        connection.send(exchange.request.encoded(for: connection.replica, exchange.client.allocator), for: self)
    }

    /// The other one has answered, or the request is over.
    func cancel() {
        guard !hasWon else { return }
        connection?.abort()
        end(.unknown)
    }

    /// It has no answer. If the first one has none either, that is the end of this try.
    private func lose(_ outcome: Admission.Outcome) {
        let isLast = exchange.hedge === self && exchange.grant == nil
        if outcome == .failure, let grant { exchange.ask.excluded.append(grant.replica.id) }
        end(outcome)
        if isLast { exchange.bothFailed() }
    }

    private func end(_ outcome: Admission.Outcome) {
        connection = nil
        if let grant { exchange.core.admission.release(grant, outcome) }
        grant = nil
        if exchange.hedge === self { exchange.hedge = nil }
    }

    // MARK: The answer

    func upstreamHead(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer) {
        // An error is no answer to prefer: the slow one may still have a good one.
        guard head.status < 500, let grant, let connection else {
            connection?.abort()
            // That it has too much to do is no fault.
            lose(head.status == 501 || head.status == 503 ? .success : .failure)
            return
        }
        hasWon = true
        self.grant = nil
        exchange.takeOver(connection, grant)
        exchange.upstreamHead(head, bytes)
    }

    func upstreamContent(_ content: ByteBuffer) { if hasWon { exchange.upstreamContent(content) } }
    func flush() { if hasWon { exchange.flush() } }
    func upstreamEnded(isCertain: Bool) { if hasWon { exchange.upstreamEnded(isCertain: isCertain) } }

    func upstreamFailed(_ error: GatewayError, canRetry: Bool, isStale: Bool) {
        if hasWon {
            exchange.upstreamFailed(error, canRetry: canRetry, isStale: isStale)
        } else {
            lose(isStale ? .unknown : .failure)
        }
    }
}

extension Exchange {
    /// Tokens of an answer that is worth asking for twice.
    private static let hedgedTokens = 64

    /// Whether a second replica is asked when this one is slow.
    var isHedged: Bool {
        timeouts.hedge != nil && !ask.isBatch && request.endpoint.isGeneration
            && (request.inspection.maximumTokens ?? .max) <= Self.hedgedTokens
    }

    /// Leaves the request to the second replica, where one works on it already.
    /// - Parameter outcome: what is known of the first one.
    /// - Returns: whether one does.
    func waitsForHedge(_ outcome: Admission.Outcome) -> Bool {
        guard hedge != nil, case .sent = phase, let slow = grant else { return false }
        upstream?.abort()
        upstream = nil
        ask.excluded.append(slow.replica.id)
        grant = nil
        core.admission.release(slow, outcome)
        return true
    }

    /// Neither replica had an answer.
    func bothFailed() {
        guard case .sent = phase, !fallsBack() else { return }
        guard attempts < core.configuration.limits.attempts, core.admission.mayRetry(deployment.id) else {
            fail(.upstream(502, code: "upstream_failed", "two model servers failed to answer"))
            return
        }
        deadline = min(total, .now() + TimeAmount(timeouts.queue))
        phase = .connecting
        start()
    }

    /// A second replica has answered first.
    func takeOver(_ connection: UpstreamConnection, _ grant: Admission.Grant) {
        upstream?.abort()
        if let slow = self.grant { core.admission.release(slow, .unknown) }
        upstream = connection
        self.grant = grant
        hedge = nil
        core.metrics.hedged.increment()
    }
}
