import Ledger
import Logging
import Pipeline
import Telemetry
import Testing

@testable import Scheduler

/// What becomes of an event's or a schedule's own words in the run that it starts.
@Suite struct NewRunTests {
    private static let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    private func run(traceparent: String?, tracestate: String? = nil) throws -> NewRun {
        let spec = PipelineSpec(name: "p", stages: [StageSpec(name: "a", kind: "noop")])
        return try NewRun(
            entry: PipelineEntry(spec: spec, digest: "d"), overrides: [:], priority: 0, source: "/test", id: "1",
            traceparent: traceparent, tracestate: tracestate)
    }

    @Test func keepsTheTraceOfItsEvent() throws {
        let run = try run(traceparent: Self.traceparent, tracestate: "vendor=1")
        #expect(run.traceparent == Self.traceparent && run.tracestate == "vendor=1")
        #expect(run.logMetadata["trace_id"] == "0af7651916cd43dd8448eb211c80319c")
        #expect(run.logMetadata["run"] == "\(run.id)")
    }

    @Test(arguments: [nil, "", "00-ab", "00-00000000000000000000000000000000-b7ad6b7169203331-01"])
    func beginsATraceWhereThereIsNone(traceparent: String?) throws {
        let run = try run(traceparent: traceparent, tracestate: "vendor=1")
        let trace = try #require(TraceContext(traceparent: run.traceparent ?? ""))
        #expect(trace.isSampled && run.tracestate == nil)
    }
}
