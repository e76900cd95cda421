import Ledger
import Logging
import Pipeline

extension Scheduler {
    /// Starts runs by the clock. A tick is an event like any other, with the schedule as its source and the time as
    /// its id, so it starts one run however many schedulers see it.
    func keepSchedules() async {
        await repeatForever("keeping the schedules") {
            _ = try await self.ledger.asLeader(of: .schedules) { try await self.tick() }
            try await Task.sleep(for: .seconds(1))
        }
    }

    private func tick() async throws {
        let now = Timestamp.now
        for (name, entry) in try await pipelines.pipelines() {
            for schedule in entry.spec.schedules {
                do {
                    try await tick(schedule, of: entry, named: name, now: now)
                } catch let error where error is PipelineError || error is RefusedEvent {
                    // This schedule's own fault: it must not keep the others from ticking.
                    metrics.failed("keeping the schedules")
                    logger.error(
                        "schedule cannot start a run",
                        metadata: ["pipeline": "\(name)", "schedule": "\(schedule.name)", "error": "\(error)"])
                }
            }
        }
    }

    private func tick(_ schedule: ScheduleSpec, of entry: PipelineEntry, named name: String, now: Timestamp)
        async throws
    {
        let cron = try CronSchedule(schedule.cron)
        guard let last = try await ledger.lastTick(pipeline: name, schedule: schedule.name) else {
            // A new schedule begins now; it does not make up for the past.
            try await ledger.recordTick(pipeline: name, schedule: schedule.name, tick: now)
            return
        }
        // Of ticks that were missed while no scheduler ran, the latest stands for all.
        var due: Timestamp?
        var next = cron.next(after: last)
        while let candidate = next, candidate <= now {
            due = candidate
            next = cron.next(after: candidate)
        }
        guard let due else { return }
        let run = try NewRun(
            entry: entry, overrides: schedule.parameters, priority: entry.spec.priority,
            source: "/martlet/schedule/\(name)/\(schedule.name)", id: due.description, traceparent: nil,
            tracestate: nil)
        let accepted = try await ledger.accept([run])
        try await ledger.recordTick(pipeline: name, schedule: schedule.name, tick: due)
        logger.info(
            "schedule ticked",
            metadata: run.logMetadata.merging(["schedule": "\(schedule.name)"]) { $1 })
        if !accepted.readyPools.isEmpty { dispatchBell.ring() }
    }
}
