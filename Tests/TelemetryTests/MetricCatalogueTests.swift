import Coordination
import Metrics
import Pipeline
import Testing

@testable import Gateway
@testable import Ledger
@testable import NotifyStage
@testable import Scheduler
@testable import Telemetry
@testable import WorkerRuntime

/// The catalogue is what the processes record: a name or a label that differs would be dropped at run time.
@Suite(.timeLimit(.minutes(4))) struct MetricCatalogueTests {
    private func recorded() -> String {
        let registry = MetricRegistry()
        withMetricsFactory(registry) {
            let scheduler = SchedulerMetrics()
            scheduler.events(accepted: 2, duplicates: 1, refused: 0)
            scheduler.deadLetter(queue: "martlet.scheduler.events")
            scheduler.results(accepted: 3, dropped: 0)
            scheduler.dispatched(pool: "train", count: 1)
            scheduler.sentAgain(1)
            scheduler.attemptFailed(.lost)
            scheduler.runsFinished([.rejected])
            scheduler.capacity(["train": 2, "ingest": 1])
            scheduler.capacity(["train": 2])
            scheduler.backlog([Ledger.PoolWork(pool: "train", ready: 5, inFlight: 4)])
            scheduler.failed("accepting events")
            let worker = WorkerMetrics(pool: "train")
            worker.claimed(.claimed, sentAt: .now)
            worker.claimed(.done, sentAt: .now)
            worker.ended(kind: "train", isKnown: true, outcome: .succeeded, seconds: 1)
            worker.leaseLost()
            worker.undecodable()
            worker.cacheHit()
            worker.slots(2, busy: 1)
            gateway()
            NotifyMetrics.told(.slack(url: "https://hooks.example.com"), succeeded: true)
            NotifyMetrics.told(.webhook(name: "on-call", url: "https://example.com", secret: nil), succeeded: false)
        }
        return registry.exposition()
    }

    private func gateway() {
        let deployment = ModelTable.Deployment(id: 0, model: "m", version: "7")
        let metrics = GatewayMetrics()
        let series = metrics.series(deployment, .chatCompletions)
        for counter in [
            series.requests, series.clientErrors, series.serverErrors, series.cancelled, series.promptTokens,
            series.completionTokens, metrics.hedged, metrics.preempted,
        ] {
            counter.increment()
        }
        for timer in [series.duration, series.firstByte, series.queued] { timer.recordMilliseconds(30) }
        metrics.connected(2)
        metrics.connected(-1)
        metrics.load(
            of: deployment,
            Admission.Load(inFlight: 3, waiting: 2, places: 9, batchesWaiting: 5, batchShare: 0.25))
        metrics.refuse(.noKey)
        let coalescing = Coalescing(mode: .off)
        for counter in [coalescing.joined, coalescing.shared, coalescing.cached] { counter.increment() }
        UsageFlusher.count(lost: 1)
    }

    @Test func nothingThatIsRecordedIsDropped() {
        let text = recorded()
        #expect(!text.contains(MetricRegistry.droppedName))
        #expect(!text.contains("Reported as"), "a metric is recorded that the catalogue does not have")
    }

    @Test func everythingDeclaredIsRecorded() {
        let text = recorded()
        let own = MetricCatalogue.own.map(\.name)
        for definition in MetricCatalogue.martlet.all where !own.contains(definition.name) {
            #expect(text.contains("# TYPE \(definition.name) \(definition.kind.rawValue)\n"))
        }
    }

    @Test func countsOfZeroAreThereAndPoolsThatAreGoneAreZero() {
        let text = recorded()
        #expect(text.contains(#"martlet_scheduler_results_total{outcome="accepted"} 3"#))
        #expect(text.contains(#"martlet_scheduler_results_total{outcome="dropped"} 0"#))
        #expect(text.contains(#"martlet_pool_slots{pool="train"} 2"#))
        #expect(text.contains(#"martlet_pool_slots{pool="ingest"} 0"#))
        #expect(text.contains(#"martlet_notifications_total{channel="webhook",outcome="failed"} 1"#))
        #expect(text.contains("\nmartlet_gateway_connections 1\n"))
        #expect(text.contains(#"martlet_gateway_waiting_requests{model="m",version="7"} 2"#))
    }
}
