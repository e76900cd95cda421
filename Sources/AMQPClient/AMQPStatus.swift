import Synchronization

/// What the outside sees of a client's connections.
final class AMQPStatus: Sendable {
    enum Role: Hashable, Sendable { case publish, consume }

    private struct State {
        /// Only the connections that were started.
        var isUp: [Role: Bool] = [:]
        var wasUp: Set<Role> = []
        var reconnects: UInt64 = 0
        var streams: [UInt64: AsyncStream<AMQPConnectionEvent>.Continuation] = [:]
        var nextStream: UInt64 = 0
        var isFinished = false

        var allUp: Bool { !isUp.isEmpty && isUp.values.allSatisfy(\.self) }
    }

    private let state = Mutex(State())

    var isConnected: Bool { state.withLock(\.allUp) }
    var reconnects: UInt64 { state.withLock(\.reconnects) }

    func events() -> AsyncStream<AMQPConnectionEvent> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: AMQPConnectionEvent.self, bufferingPolicy: .bufferingNewest(64))
        let id = state.withLock { state -> UInt64? in
            guard !state.isFinished else { return nil }
            state.nextStream += 1
            state.streams[state.nextStream] = continuation
            return state.nextStream
        }
        guard let id else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            _ = self?.state.withLock { $0.streams.removeValue(forKey: id) }
        }
        return stream
    }

    func started(_ role: Role) {
        state.withLock { $0.isUp[role] = $0.isUp[role] ?? false }
    }

    func up(_ role: Role) {
        let (isConnected, streams) = state.withLock { state in
            state.isUp[role] = true
            if !state.wasUp.insert(role).inserted { state.reconnects += 1 }
            return (state.allUp, Array(state.streams.values))
        }
        if isConnected { for stream in streams { stream.yield(.connected) } }
    }

    func down(_ role: Role, reason: String) {
        state.withLock { $0.isUp[role] = false }
        tell(.disconnected(reason: reason))
    }

    func blocked(_ reason: String) { tell(.blocked(reason: reason)) }

    func unblocked() { tell(.unblocked) }

    func finish() {
        let streams = state.withLock { state in
            state.isFinished = true
            state.isUp = [:]
            defer { state.streams = [:] }
            return Array(state.streams.values)
        }
        for stream in streams { stream.finish() }
    }

    private func tell(_ event: AMQPConnectionEvent) {
        // Outside the lock: `yield` may run a terminated stream's handler, which takes it.
        for stream in state.withLock({ Array($0.streams.values) }) { stream.yield(event) }
    }
}
