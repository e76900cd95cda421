/// A run with its latest metrics.
package struct MLflowRun: Sendable, Hashable, Decodable {
    package enum Status: String, Sendable, Hashable, Codable {
        case running = "RUNNING"
        case scheduled = "SCHEDULED"
        case finished = "FINISHED"
        case failed = "FAILED"
        case killed = "KILLED"
    }

    package var id: String
    package var name: String
    package var experimentID: String
    package var status: Status
    /// Milliseconds since 1970, UTC.
    package var startTime: Int64?
    package var endTime: Int64?
    /// Where its artifacts are, such as `mlflow-artifacts:/1/0a1b…/artifacts`.
    package var artifactURI: String
    package var isDeleted: Bool
    /// The value with the highest step of each metric.
    package var metrics: [MLflowMetric]
    package var parameters: [String: String]
    package var tags: [String: String]

    private enum CodingKeys: String, CodingKey { case info, data }
    private enum InfoKeys: String, CodingKey {
        case runId, runName, experimentId, status, startTime, endTime, artifactUri, lifecycleStage
    }
    private enum DataKeys: String, CodingKey { case metrics, params, tags }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let info = try container.nestedContainer(keyedBy: InfoKeys.self, forKey: .info)
        id = try info.decode(String.self, forKey: .runId)
        name = try info.decodeIfPresent(String.self, forKey: .runName) ?? ""
        experimentID = try info.decode(String.self, forKey: .experimentId)
        status = try info.decode(Status.self, forKey: .status)
        startTime = try info.integer(.startTime)
        endTime = try info.integer(.endTime)
        artifactURI = try info.decodeIfPresent(String.self, forKey: .artifactUri) ?? ""
        isDeleted = try info.decodeIfPresent(String.self, forKey: .lifecycleStage) == "deleted"
        guard container.contains(.data) else {
            (metrics, parameters, tags) = ([], [:], [:])
            return
        }
        let data = try container.nestedContainer(keyedBy: DataKeys.self, forKey: .data)
        metrics = try data.decodeIfPresent([MLflowMetric].self, forKey: .metrics) ?? []
        parameters = try data.decodeIfPresent([MLflowTag].self, forKey: .params)?.dictionary ?? [:]
        tags = try data.decodeIfPresent([MLflowTag].self, forKey: .tags)?.dictionary ?? [:]
    }
}
