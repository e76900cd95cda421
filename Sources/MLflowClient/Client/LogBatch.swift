/// One request of `runs/log-batch` within MLflow's limits (REST API, "Log Batch"): 1,000 metrics, 100 parameters,
/// 100 tags, 1,000 of all together, 1 MB.
struct LogBatch: Encodable, Sendable {
    static let mostMetrics = 1000
    static let mostTexts = 100
    static let mostItems = 1000
    /// Bytes of names and values; the rest of the megabyte is for the JSON around them.
    static let mostBytes = 600_000
    /// JSON around a metric: braces, names, timestamp, step.
    private static let metricOverhead = 110

    let runId: String
    var metrics: [MLflowMetric] = []
    var params: [MLflowTag] = []
    var tags: [MLflowTag] = []

    /// Tags and parameters come first, so that a run can be found by them while its metrics arrive.
    static func split(
        runID: String, metrics: [MLflowMetric], params: [MLflowTag], tags: [MLflowTag]
    ) -> [LogBatch] {
        var batches: [LogBatch] = []
        var current = LogBatch(runId: runID)
        var bytes = 0
        func count(_ batch: LogBatch) -> Int { batch.metrics.count + batch.params.count + batch.tags.count }
        func room(for size: Int, isFull: (LogBatch) -> Bool) {
            if isFull(current) || count(current) == mostItems || (bytes + size > mostBytes && count(current) > 0) {
                batches.append(current)
                current = LogBatch(runId: runID)
                bytes = 0
            }
            bytes += size
        }
        for tag in tags {
            room(for: tag.key.utf8.count + tag.value.utf8.count) { $0.tags.count == mostTexts }
            current.tags.append(tag)
        }
        for param in params {
            room(for: param.key.utf8.count + param.value.utf8.count) { $0.params.count == mostTexts }
            current.params.append(param)
        }
        for metric in metrics {
            room(for: metric.key.utf8.count + metricOverhead) { $0.metrics.count == mostMetrics }
            current.metrics.append(metric)
        }
        if count(current) > 0 { batches.append(current) }
        return batches
    }
}
