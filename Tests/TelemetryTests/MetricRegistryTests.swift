import Glibc
import Metrics
import Testing

@testable import Telemetry

@Suite(.timeLimit(.minutes(4))) struct MetricRegistryTests {
    private static let catalogue = MetricCatalogue([
        .counter("martlet_jobs_total", "Jobs done.", labels: ["pool", "outcome"]),
        .gauge("martlet_busy_slots", "Slots in use.", labels: ["pool"]),
        .histogram("martlet_job_duration_seconds", "How long jobs take.", labels: ["pool"], buckets: [0.1, 1]),
    ])

    private func lines(_ registry: MetricRegistry, about name: String) -> [String] {
        registry.exposition().split(separator: "\n").map(String.init).filter { $0.contains(name) }
    }

    @Test func rendersEveryType() {
        let registry = MetricRegistry(catalogue: Self.catalogue)
        let counter = Counter(
            label: "martlet_jobs_total", dimensions: [("outcome", "done"), ("pool", "train")], factory: registry)
        counter.increment()
        counter.increment(by: 2)
        FloatingPointCounter(
            label: "martlet_jobs_total", dimensions: [("pool", "train"), ("outcome", "done")], factory: registry
        ).increment(by: 0.5)
        Gauge(label: "martlet_busy_slots", dimensions: [("pool", "a\"b\\c\nd")], factory: registry).record(3)
        let timer = Timer(label: "martlet_job_duration_seconds", dimensions: [("pool", "train")], factory: registry)
        timer.recordMilliseconds(100)
        timer.recordMilliseconds(250)
        timer.recordSeconds(5)
        #expect(
            lines(registry, about: "martlet_") == [
                "# HELP martlet_busy_slots Slots in use.",
                "# TYPE martlet_busy_slots gauge",
                #"martlet_busy_slots{pool="a\"b\\c\nd"} 3"#,
                "# HELP martlet_job_duration_seconds How long jobs take.",
                "# TYPE martlet_job_duration_seconds histogram",
                #"martlet_job_duration_seconds_bucket{pool="train",le="0.1"} 1"#,
                #"martlet_job_duration_seconds_bucket{pool="train",le="1"} 2"#,
                #"martlet_job_duration_seconds_bucket{pool="train",le="+Inf"} 3"#,
                #"martlet_job_duration_seconds_sum{pool="train"} 5.35"#,
                #"martlet_job_duration_seconds_count{pool="train"} 3"#,
                "# HELP martlet_jobs_total Jobs done.",
                "# TYPE martlet_jobs_total counter",
                #"martlet_jobs_total{pool="train",outcome="done"} 3.5"#,
            ])
    }

    @Test func namesOfLibrariesGetUnitsAndEndings() {
        let registry = MetricRegistry(catalogue: Self.catalogue)
        Counter(label: "NIO.Reads", factory: registry).increment()
        Timer(label: "pool.wait", factory: registry).recordSeconds(1)
        Gauge(label: "queue_total", factory: registry).record(1)
        Meter(label: "9lives", dimensions: [("Bad-Label", "x")], factory: registry).set(1)
        let text = registry.exposition()
        #expect(text.contains("\nnio_reads_total 1\n") || text.hasPrefix("nio_reads_total 1\n"))
        #expect(text.contains("# TYPE pool_wait_seconds histogram"))
        #expect(text.contains("\nqueue 1\n"))
        #expect(text.contains("m_9lives{bad_label=\"x\"} 1"))
    }

    @Test func seriesAreBounded() {
        let registry = MetricRegistry(catalogue: Self.catalogue, seriesLimit: 10)
        for pool in 0..<1_000 {
            Counter(
                label: "martlet_jobs_total", dimensions: [("pool", "\(pool)"), ("outcome", "done")], factory: registry
            ).increment()
        }
        let samples = lines(registry, about: "martlet_jobs_total{")
        #expect(samples.count == 11)
        #expect(samples.contains(#"martlet_jobs_total{overflow="true"} 990"#))
        #expect(
            lines(registry, about: "martlet_metrics_dropped").last
                == #"martlet_metrics_dropped_series_total{metric="martlet_jobs_total"} 990"#)
    }

    @Test func familiesAreBounded() {
        let registry = MetricRegistry(catalogue: Self.catalogue)
        for name in 0..<2_000 {
            Counter(label: "generated_\(name)", factory: registry).increment()
        }
        let text = registry.exposition()
        #expect(text.split(separator: "\n").count { $0.hasPrefix("generated_") } <= MetricRegistry.familyLimit)
        #expect(text.contains("martlet_metrics_dropped_series_total{metric=\"other\"}"))
    }

    @Test func wrongTypeAndWrongLabelsAreCountedAndNotRecorded() {
        let registry = MetricRegistry(catalogue: Self.catalogue)
        Gauge(label: "martlet_jobs_total", factory: registry).record(1)
        Counter(label: "martlet_jobs_total", dimensions: [("run", "42")], factory: registry).increment()
        #expect(lines(registry, about: "martlet_jobs_total{").isEmpty)
        #expect(
            lines(registry, about: "dropped_series_total{") == [
                #"martlet_metrics_dropped_series_total{metric="martlet_jobs_total"} 2"#
            ])
    }

    @Test func handlesShareASeriesAndDestroyedGaugesVanish() {
        let registry = MetricRegistry(catalogue: Self.catalogue)
        for _ in 0..<2 {
            Counter(label: "hits", factory: registry).increment()
        }
        let gauge = Gauge(label: "martlet_busy_slots", dimensions: [("pool", "x")], factory: registry)
        gauge.record(1)
        #expect(lines(registry, about: "hits_total ").last == "hits_total 2")
        #expect(lines(registry, about: "busy_slots{").count == 1)
        gauge.destroy()
        #expect(lines(registry, about: "busy_slots").isEmpty)
    }

    @Test func valuesThatAreNotNumbersDoNotPoison() {
        let registry = MetricRegistry(catalogue: Self.catalogue)
        let counter = FloatingPointCounter(label: "odd", factory: registry)
        counter.increment(by: Double.nan)
        counter.increment(by: -1.0)
        counter.increment(by: 1.5)
        let recorder = Recorder(label: "sizes", factory: registry)
        recorder.record(Double.nan)
        recorder.record(2.0)
        #expect(registry.exposition().contains("odd_total 1.5\n"))
        #expect(registry.exposition().contains("sizes_sum 2\n"))
        #expect(Exposition.number(.infinity) == "+Inf" && Exposition.number(-.infinity) == "-Inf")
        #expect(Exposition.number(.nan) == "NaN" && Exposition.number(1e300) == "1e+300")
    }

    @Test func concurrentIncrementsAreAllCounted() async {
        let registry = MetricRegistry(catalogue: Self.catalogue)
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<10_000 {
                        Counter(label: "many", factory: registry).increment()
                        FloatingPointCounter(label: "many", factory: registry).increment(by: 0.5)
                        Timer(label: "times", factory: registry).recordSeconds(1)
                    }
                }
            }
        }
        #expect(registry.exposition().contains("many_total 120000\n"))
        #expect(registry.exposition().contains("times_seconds_count 80000\n"))
    }

    @Test func reportsTheProcess() throws {
        let text = MetricRegistry().exposition()
        func value(_ name: String) throws -> Double {
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("\(name) ") })
            return try #require(Double(line.dropFirst(name.count + 1)))
        }
        #expect(try value("process_cpu_seconds_total") > 0)
        #expect(try value("process_resident_memory_bytes") > 1_000_000)
        let now = Double(time(nil))
        let age = now - (try value("process_start_time_seconds"))
        #expect((0..<86_400).contains(age + 2))
        let before = try value("process_open_fds")
        let limit = try value("process_max_fds")
        #expect(before >= 3 && before < limit)
    }
}
