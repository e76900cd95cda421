import Synchronization

/// Turns a subscribed connection's pushes into a stream of bounded length.
final class Subscriber: Sendable {
    typealias Stream = AsyncThrowingStream<RedisPubSubMessage, any Error>

    static let bufferSize = 4_096

    private struct State {
        var pending = 0
        var hasSubscribed = false
        var dropped = 0
    }

    let channels: [String]
    let patterns: [String]
    private let continuation: Stream.Continuation
    private let state = Mutex(State())

    init(channels: [String], patterns: [String], continuation: Stream.Continuation) {
        self.channels = channels
        self.patterns = patterns
        self.continuation = continuation
    }

    var hasSubscribed: Bool { state.withLock { $0.hasSubscribed } }

    var commands: [[RedisArgument]] {
        var commands: [[RedisArgument]] = []
        if !channels.isEmpty { commands.append(["SUBSCRIBE"] + channels.map { .string($0) }) }
        if !patterns.isEmpty { commands.append(["PSUBSCRIBE"] + patterns.map { .string($0) }) }
        return commands
    }

    func expectConfirmations() {
        state.withLock { $0.pending = channels.count + patterns.count }
    }

    func finish(_ error: RedisError?) {
        continuation.finish(throwing: error)
    }

    func receive(_ value: RedisValue) {
        if case .error(let text) = value { return finish(RedisError(reply: text)) }
        guard let parts = value.array, let kind = parts.first?.string else { return }
        switch kind {
        case "message" where parts.count == 3:
            yield(.message(channel: parts[1].string ?? "", pattern: nil, payload: parts[2].bytes ?? []))
        case "pmessage" where parts.count == 4:
            yield(
                .message(channel: parts[2].string ?? "", pattern: parts[1].string, payload: parts[3].bytes ?? []))
        case "subscribe", "psubscribe": confirmed()
        default: break  // The answer to a ping.
        }
    }

    private func confirmed() {
        let marker = state.withLock { state -> RedisPubSubMessage? in
            state.pending -= 1
            guard state.pending == 0 else { return nil }
            defer { state.hasSubscribed = true }
            return state.hasSubscribed ? .resubscribed : .subscribed
        }
        if let marker { yield(marker) }
    }

    private func yield(_ message: RedisPubSubMessage) {
        guard case .dropped = continuation.yield(message) else {
            return state.withLock { $0.dropped = 0 }
        }
        // The newest are kept, so a marker every half buffer is never lost itself.
        let needsMarker = state.withLock { state -> Bool in
            defer { state.dropped += 1 }
            return state.dropped.isMultiple(of: Self.bufferSize / 2)
        }
        if needsMarker { continuation.yield(.resubscribed) }
    }
}
