import Broker
import Coordination
import Logging
import Pipeline
import Synchronization
import Telemetry

/// Watches one attempt from beside: heartbeats, the live log, the time limit, the grace after SIGTERM. The worker's
/// ``Ticker`` has it look; the attempt itself need not wait for it.
///
/// It goes on while a handler that must end does so, and while the result is on its way: the lease is this worker's
/// until then.
final class TaskWatcher: Sendable {
    private struct State {
        var nextBeat: ContinuousClock.Instant
        var nextLog: ContinuousClock.Instant
        var graceEnds: ContinuousClock.Instant?
        var isAnnounced = false
        var isReporting = false
    }

    /// An attempt younger than this is not worth a word to the ledger: its result comes first.
    private static let announcedAge = Duration.milliseconds(500)

    private let execution: TaskExecution
    private let keeper: LeaseKeeper
    private let startedAt: Timestamp
    private let verdict: Verdict
    private let began = ContinuousClock.now
    private let state: Mutex<State>

    init(execution: TaskExecution, keeper: LeaseKeeper, startedAt: Timestamp, verdict: Verdict) {
        self.execution = execution
        self.keeper = keeper
        self.startedAt = startedAt
        self.verdict = verdict
        state = Mutex(
            State(
                nextBeat: began + execution.configuration.heartbeat,
                nextLog: began + execution.configuration.logInterval))
    }

    /// The handler has ended: from now on only the lease is kept.
    func beginReport() {
        state.withLock { $0.isReporting = true }
    }

    /// Called about once a second, never twice at a time.
    func look() async {
        await TraceContext.$current.withValue(execution.trace) {
            let now = ContinuousClock.now
            // First of all: what follows may have to wait for the broker, and the lease runs.
            if isDue(now, at: \.nextBeat, every: execution.configuration.heartbeat), let stop = await beat() {
                verdict.decide(.stopped(stop))
            }
            guard !state.withLock(\.isReporting) else { return }
            // Of an attempt that has lost its task the ledger must not hear after its successor.
            if !verdict.isDecided { await announce(now) }
            await execution.pumpLog()
            judge(now)
        }
    }

    var isLogDue: Bool {
        state.withLock { !$0.isReporting && $0.nextLog <= ContinuousClock.now }
    }

    func storeLog() async {
        guard isDue(.now, at: \.nextLog, every: execution.configuration.logInterval) else { return }
        await TraceContext.$current.withValue(execution.trace) { await execution.uploadLog() }
    }

    private func isDue(
        _ now: ContinuousClock.Instant, at moment: WritableKeyPath<State, ContinuousClock.Instant>,
        every interval: Duration
    ) -> Bool {
        state.withLock { state in
            // Half a look early, as the next one may come a little late.
            guard state[keyPath: moment] <= now + min(.milliseconds(500), interval / 2) else { return false }
            state[keyPath: moment] = now + interval
            return true
        }
    }

    /// The time limit, and the grace after SIGTERM.
    private func judge(_ now: ContinuousClock.Instant) {
        guard !verdict.isDecided else { return }
        let limit = execution.payload.timeoutSeconds
        if now - began >= .seconds(limit) {
            verdict.decide(
                .failed(
                    Failure(
                        class: .timeout, code: "stage.timeout",
                        message: "the attempt took longer than the stage's timeout of \(limit) s; raise `timeout:` in "
                            + "the pipeline or give it less to do")))
        }
        guard execution.drain.isSet else { return }
        let end = state.withLock { state in
            let end = state.graceEnds ?? now + execution.configuration.grace
            state.graceEnds = end
            return end
        }
        if now >= end {
            execution.log.line("given back: the worker stops and its grace period is over")
            verdict.decide(.finished(.released, nil))
        }
    }

    private func beat() async -> LeaseKeeper.Stop? {
        do {
            switch try await keeper.beat() {
            case .ok: return nil
            case .cancel: return .cancelled
            case .lost: return .leaseLost
            }
        } catch {
            // That nobody can look at a lease is no proof that it is lost, and the ledger takes one result only.
            execution.logger.warning("heartbeat failed; going on", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Tells the ledger that the attempt runs, until that is said once.
    private func announce(_ now: ContinuousClock.Instant) async {
        guard !state.withLock(\.isAnnounced), now - began >= Self.announcedAge else { return }
        let started = TaskStarted(
            task: execution.payload.task, attempt: execution.attempt, token: execution.token,
            worker: execution.configuration.id, startedAt: startedAt)
        do {
            try await execution.services.broker.publish(
                started, traceparent: execution.trace.traceparent, tracestate: execution.trace.tracestate,
                timeout: .seconds(2))
            state.withLock { $0.isAnnounced = true }
        } catch {
            execution.logger.debug("start not announced; trying again", metadata: ["error": "\(error)"])
        }
    }
}
