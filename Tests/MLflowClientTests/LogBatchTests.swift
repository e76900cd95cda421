import Testing

@testable import MLflowClient

@Suite struct LogBatchTests {
    @Test func staysWithinTheLimits() {
        let metrics = (0..<2500).map { MLflowMetric(key: "m\($0)", value: 1, timestamp: 0) }
        let params = (0..<250).map { MLflowTag("p\($0)", "v") }
        let tags = (0..<101).map { MLflowTag("t\($0)", "v") }
        let batches = LogBatch.split(runID: "r", metrics: metrics, params: params, tags: tags)
        for batch in batches {
            #expect(batch.metrics.count <= 1000 && batch.params.count <= 100 && batch.tags.count <= 100)
            #expect(batch.metrics.count + batch.params.count + batch.tags.count <= 1000)
            #expect(batch.runId == "r")
        }
        #expect(batches.flatMap(\.metrics) == metrics)
        #expect(batches.flatMap(\.params) == params)
        #expect(batches.flatMap(\.tags) == tags)
        #expect(batches.allSatisfy { !$0.metrics.isEmpty || !$0.params.isEmpty || !$0.tags.isEmpty })
    }

    @Test func staysBelowAMegabyte() {
        let params = (0..<100).map { MLflowTag("p\($0)", String(repeating: "x", count: 6000)) }
        let tags = (0..<100).map { MLflowTag("t\($0)", String(repeating: "x", count: 8000)) }
        let batches = LogBatch.split(runID: "r", metrics: [], params: params, tags: tags)
        for batch in batches {
            let bytes = (batch.params + batch.tags).reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
            #expect(bytes <= LogBatch.mostBytes)
        }
        #expect(batches.count >= 3)
    }

    @Test func sendsNothingForNothing() {
        #expect(LogBatch.split(runID: "r", metrics: [], params: [], tags: []).isEmpty)
    }
}
