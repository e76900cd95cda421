/// Decides which time limit of a transfer has passed. A value with no I/O: it is told the phase and the progress.
struct TransferClock {
    /// What the transfer waits for.
    enum Phase {
        case connecting
        /// The request is out; the peer has to answer.
        case awaitingHead
        /// Bytes have to move, in either direction.
        case moving
        /// Paused for our own consumer or producer: only the total limit runs.
        case waitingForUs
    }

    enum Expiry: Hashable {
        case connect, firstByte, idle, total
    }

    private let timeouts: HTTPTimeouts
    private let deadline: ContinuousClock.Instant?
    private var lastProgress: ContinuousClock.Instant
    private var lastCount: Int64 = 0
    private var lastPhase = Phase.connecting
    private(set) var isConnected = false

    init(timeouts: HTTPTimeouts, deadline: ContinuousClock.Instant?, now: ContinuousClock.Instant = .now) {
        self.timeouts = timeouts
        self.deadline = deadline
        lastProgress = now
    }

    /// The connection attempt begins: time spent waiting for a free slot does not count.
    mutating func noteStart(at now: ContinuousClock.Instant = .now) {
        lastProgress = now
    }

    mutating func noteConnected(at now: ContinuousClock.Instant = .now) {
        isConnected = true
        lastProgress = now
    }

    mutating func noteProgress(at now: ContinuousClock.Instant = .now) {
        guard isConnected else { return }
        lastProgress = now
    }

    /// - Returns: the limit that has passed, or when to look again.
    mutating func check(
        phase: Phase, progress: Int64, now: ContinuousClock.Instant
    ) -> Result<ContinuousClock.Instant, ExpiryError> {
        if let deadline, now >= deadline { return .failure(ExpiryError(expiry: .total)) }
        // A phase that begins has its whole limit before it.
        if progress != lastCount || phase != lastPhase || phase == .waitingForUs {
            if phase != .connecting { lastProgress = now }
            lastCount = progress
            lastPhase = phase
        }
        let (limit, expiry): (Duration, Expiry) =
            switch phase {
            case .connecting: (timeouts.connect, .connect)
            case .awaitingHead: (timeouts.firstByte, .firstByte)
            case .moving, .waitingForUs: (timeouts.idle, .idle)
            }
        let limitAt = lastProgress + limit
        if phase != .waitingForUs, now >= limitAt { return .failure(ExpiryError(expiry: expiry)) }
        // Progress is only seen by looking: often enough to be precise, seldom enough to cost nothing.
        let tick = min(max(limit / 8, .milliseconds(5)), .seconds(1))
        return .success([now + tick, limitAt > now ? limitAt : now + tick, deadline ?? now + tick].min() ?? now + tick)
    }

    struct ExpiryError: Error {
        let expiry: Expiry
    }
}
