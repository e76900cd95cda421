import Broker
import Coordination
import Logging
import Pipeline
import Telemetry

/// Watches one attempt from beside: heartbeats, the live log, the time limit, the grace after SIGTERM.
///
/// One timer for all of them, because most tasks end before it fires once. Storing the log has a task of its own: a
/// store that hangs must not hold up the heartbeats.
struct TaskWatcher: Sendable {
    let execution: TaskExecution
    let keeper: LeaseKeeper
    let startedAt: Timestamp
    let verdict: Verdict

    /// Watches until the surrounding task is cancelled, also while a handler that must end does so: the lease is this
    /// worker's until then.
    func run() async {
        await withDiscardingTaskGroup { group in
            await watch { group.addTask { await execution.uploadLog() } }
            group.cancelAll()
        }
    }

    private func watch(storeLog: () -> Void) async {
        let clock = ContinuousClock()
        let began = clock.now
        let timeout = Duration.seconds(execution.payload.timeoutSeconds)
        var nextBeat = began + execution.configuration.heartbeat
        var nextLog = began + execution.configuration.logInterval
        var graceEnds: ContinuousClock.Instant?
        var isAnnounced = false
        while true {
            do { try await execution.ticker.tick() } catch { return }
            let now = clock.now
            if !isAnnounced { isAnnounced = await announce() }
            await execution.pumpLog()
            if now >= nextBeat {
                nextBeat = now + execution.configuration.heartbeat
                if let stop = await beat() { verdict.decide(.stopped(stop)) }
            }
            if now >= nextLog {
                nextLog = now + execution.configuration.logInterval
                storeLog()
            }
            if now - began >= timeout, !verdict.isDecided {
                verdict.decide(
                    .failed(
                        Failure(
                            class: .timeout, code: "stage.timeout",
                            message: "the attempt took longer than the stage's timeout of "
                                + "\(execution.payload.timeoutSeconds) s; raise `timeout:` in the pipeline or give it less to do"
                        )))
            }
            if execution.drain.isSet {
                let end = graceEnds ?? now + execution.configuration.grace
                graceEnds = end
                if now >= end, !verdict.isDecided {
                    execution.log.line("given back: the worker stops and its grace period is over")
                    verdict.decide(.finished(.released, nil))
                }
            }
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
            execution.logger.warning("heartbeat failed; going on", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Tells the ledger that the attempt runs; true once that is said.
    private func announce() async -> Bool {
        let started = TaskStarted(
            task: execution.payload.task, attempt: execution.attempt, token: execution.token,
            worker: execution.configuration.id, startedAt: startedAt)
        do {
            try await execution.services.broker.publish(
                started, traceparent: execution.trace.traceparent, tracestate: execution.trace.tracestate,
                timeout: .seconds(2))
            return true
        } catch {
            execution.logger.debug("start not announced; trying again", metadata: ["error": "\(error)"])
            return false
        }
    }
}
