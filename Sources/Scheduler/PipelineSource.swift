package import Pipeline

/// Where the scheduler finds pipelines by name.
package protocol PipelineSource: Sendable {
    /// All that can be run now, by name. Called for every batch of events, so it should remember.
    func pipelines() async throws -> [String: PipelineEntry]
}

/// A pipeline that can be run.
package struct PipelineEntry: Sendable {
    package var spec: PipelineSpec
    /// SHA-256 of its canonical JSON, in hexadecimal.
    package var digest: String

    package init(spec: PipelineSpec, digest: String) {
        self.spec = spec
        self.digest = digest
    }
}
