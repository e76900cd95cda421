import ChildProcess
import Metrics
import Telemetry
import Testing

/// Prometheus's own judgement of types, help texts, units and escaping.
@Suite(.timeLimit(.minutes(4))) struct PromtoolTests {
    @Test func acceptsEveryMetricOfTheCatalogue() async throws {
        let registry = MetricRegistry()
        for definition in MetricCatalogue.martlet.all {
            let dimensions = definition.labels.map { ($0, "va\"lue\\ with\nall") }
            switch definition.kind {
            case .counter: Counter(label: definition.name, dimensions: dimensions, factory: registry).increment()
            case .gauge: Gauge(label: definition.name, dimensions: dimensions, factory: registry).record(1)
            case .histogram: Recorder(label: definition.name, dimensions: dimensions, factory: registry).record(0.25)
            }
        }
        Counter(label: "some.library.Calls", factory: registry).increment()
        Timer(label: "some.library.duration", factory: registry).recordSeconds(1)
        let text = registry.exposition()
        #expect(MetricCatalogue.martlet.all.allSatisfy { text.contains("# TYPE \($0.name) ") })
        #expect(!text.contains("overflow="))
        let promtool = try ChildProcess.spawn(
            "promtool", arguments: ["check", "metrics"], environment: ProcessEnvironment.minimal(),
            stdin: .bytes(Array(text.utf8)), stdout: .pipe, stderr: .pipe)
        var complaints: [String] = []
        for lines in [promtool.stdoutLines, promtool.stderrLines] {
            for await line in try #require(lines) { complaints.append(line.text) }
        }
        #expect(await promtool.wait().isSuccess)
        #expect(complaints.isEmpty)
    }
}
