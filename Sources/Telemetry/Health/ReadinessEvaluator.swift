/// Runs the checks side by side, each for at most `timeout`; callers that come meanwhile share one run.
actor ReadinessEvaluator {
    private let checks: [ReadinessCheck]
    private let timeout: Duration
    private var current: Task<ReadinessReport, Never>?

    init(checks: [ReadinessCheck], timeout: Duration) {
        self.checks = checks
        self.timeout = timeout
    }

    func report() async -> ReadinessReport {
        if let current { return await current.value }
        let task = Task { await self.run() }
        current = task
        let report = await task.value
        current = nil
        return report
    }

    private nonisolated func run() async -> ReadinessReport {
        let entries = await withTaskGroup(of: (Int, ReadinessReport.Entry).self) { group in
            for (index, check) in checks.enumerated() {
                group.addTask { (index, ReadinessReport.Entry(name: check.name, failure: await self.failure(check))) }
            }
            var entries: [(Int, ReadinessReport.Entry)] = []
            for await entry in group { entries.append(entry) }
            return entries.sorted { $0.0 < $1.0 }.map(\.1)
        }
        return ReadinessReport(entries: entries)
    }

    private nonisolated func failure(_ check: ReadinessCheck) async -> String? {
        let race = FirstAnswer()
        // Unstructured: a check that ignores cancellation must not hold up the answer.
        let work = Task {
            do {
                try await check.check()
                race.answer(nil)
            } catch {
                race.answer("\(error)")
            }
        }
        let timer = Task {
            try await Task.sleep(for: timeout)
            race.answer("no answer within \(timeout)")
        }
        defer {
            work.cancel()
            timer.cancel()
        }
        return await race.value()
    }
}
