import Testing

@testable import MLflowClient

@Suite(.timeLimit(.minutes(4))) struct TrackingTests {
    @Test func createsAnExperimentOnceHoweverManyAsk() async throws {
        try await Tracker.with { tracker async throws in
            let ids = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<12 {
                    group.addTask { try await tracker.client.getOrCreateExperiment(named: tracker.name).id }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            #expect(try await tracker.client.experiment(named: tracker.name + " missing") == nil)
        }
    }

    @Test func recordsARun() async throws {
        try await Tracker.with { tracker async throws in
            let client = tracker.client
            let experiment = try await client.getOrCreateExperiment(named: tracker.name, tags: ["a": "b"])
            #expect(experiment.tags["a"] == "b")
            let run = try await client.createRun(
                experimentID: experiment.id, name: "r ü", startTime: 1_700_000_000_000,
                tags: ["martlet.run": tracker.name])
            #expect(run.status == .running)
            try await client.setTag(runID: run.id, key: "k", value: "ü\n")
            try await client.updateRun(run.id, status: .finished, endTime: 1_700_000_001_000)
            let read = try #require(try await client.run(run.id))
            #expect(read.status == .finished)
            #expect(read.startTime == 1_700_000_000_000)
            #expect(read.endTime == 1_700_000_001_000)
            #expect(read.tags["k"] == "ü\n")
            #expect(read.name == "r ü")
            let found = try await client.searchRuns(
                experimentIDs: [experiment.id],
                filter: "\(try MLflowFilter.tag("martlet.run")) = \(try MLflowFilter.text(tracker.name))")
            #expect(found.map(\.id) == [run.id])
            try await client.deleteRun(run.id)
            try await client.deleteRun(run.id)
            #expect(try await client.run(run.id)?.isDeleted == true)
            #expect(try await client.searchRuns(experimentIDs: [experiment.id]).isEmpty)
            #expect(try await client.run("0123456789abcdef0123456789abcdef") == nil)
        }
    }

    @Test func logsMoreThanOneRequestTakes() async throws {
        try await Tracker.with { tracker async throws in
            let run = try await tracker.makeRun()
            let metrics = (0..<2300).map {
                MLflowMetric(
                    key: "loss", value: Double($0) / 7, timestamp: 1_700_000_000_000 + Int64($0), step: Int64($0))
            }
            let parameters = Dictionary(uniqueKeysWithValues: (0..<230).map { ("p\($0)", "v\($0)") })
            let tags = Dictionary(uniqueKeysWithValues: (0..<120).map { ("t\($0)", "v\($0)") })
            for _ in 0..<2 {
                // Repeated, as after a lost answer: nothing is there twice.
                try await tracker.client.logBatch(
                    runID: run.id, metrics: metrics, parameters: parameters, tags: tags)
            }
            #expect(try await tracker.client.metricHistory(runID: run.id, key: "loss") == metrics)
            let read = try #require(try await tracker.client.run(run.id))
            #expect(read.parameters == parameters)
            #expect(tags.allSatisfy { read.tags[$0.key] == $0.value })
            let error = await #expect(throws: MLflowError.self) {
                try await tracker.client.logBatch(runID: run.id, parameters: ["p0": "another"])
            }
            #expect(error?.code == .invalidParameter)
        }
    }

    @Test func carriesNonFiniteMetrics() async throws {
        try await Tracker.with { tracker async throws in
            let run = try await tracker.makeRun()
            try await tracker.client.logBatch(
                runID: run.id,
                metrics: [
                    MLflowMetric(key: "nan", value: .nan, timestamp: 1),
                    MLflowMetric(key: "up", value: .infinity, timestamp: 1),
                    MLflowMetric(key: "down", value: -.infinity, timestamp: 1),
                ])
            let metrics = try #require(try await tracker.client.run(run.id)).metrics
            func value(_ key: String) -> Double? { metrics.first { $0.key == key }?.value }
            #expect(value("nan")?.isNaN == true)
            #expect((value("up") ?? 0) > 1e308)
            #expect((value("down") ?? 0) < -1e308)
        }
    }

    @Test func readsRunsPageByPage() async throws {
        try await Tracker.with { tracker async throws in
            let experiment = try await tracker.client.getOrCreateExperiment(named: tracker.name)
            for index in 0..<5 {
                _ = try await tracker.client.createRun(experimentID: experiment.id, startTime: Int64(index))
            }
            let runs = try await tracker.client.searchRuns(
                experimentIDs: [experiment.id], orderBy: ["attributes.start_time DESC"], limit: 3)
            #expect(runs.map(\.startTime) == [4, 3, 2])
        }
    }

    @Test func saysWhatIsWrong() async throws {
        try await Tracker.with { tracker async throws in
            try await tracker.client.checkHealth()
            let filter = await #expect(throws: MLflowError.self) {
                try await tracker.client.searchRuns(experimentIDs: ["0"], filter: "nonsense ===")
            }
            #expect(filter?.code == .invalidParameter)
            #expect(filter?.operation == "runs/search")
            var configuration = tracker.client.configuration
            configuration.baseURL = "http://127.0.0.1:9"
            configuration.maximumAttempts = 2
            configuration.baseDelay = .milliseconds(1)
            let nobody = try MLflowClient(
                configuration: configuration, transport: tracker.transport, logger: tracker.client.logger)
            let unreachable = await #expect(throws: MLflowError.self) { try await nobody.checkHealth() }
            #expect(unreachable?.code == .unreachable)
            #expect(throws: MLflowError.self) {
                try MLflowClient(
                    baseURL: "localhost:5000", transport: tracker.transport, logger: tracker.client.logger)
            }
        }
    }
}
