package import Pipeline

/// A run that an event asks for, ready to be written.
package struct NewRun: Sendable {
    package var id: RunID
    package var pipeline: PipelineSpec
    /// SHA-256 of the pipeline's canonical JSON.
    package var pipelineDigest: String
    package var parameters: [String: JSONValue]
    package var priority: Int
    package var eventSource: String
    package var eventID: String
    package var traceparent: String?
    package var tracestate: String?

    package init(
        id: RunID, pipeline: PipelineSpec, pipelineDigest: String, parameters: [String: JSONValue], priority: Int,
        eventSource: String, eventID: String, traceparent: String?, tracestate: String?
    ) {
        self.id = id
        self.pipeline = pipeline
        self.pipelineDigest = pipelineDigest
        self.parameters = parameters
        self.priority = priority
        self.eventSource = eventSource
        self.eventID = eventID
        self.traceparent = traceparent
        self.tracestate = tracestate
    }
}

/// A message that could not be used, kept for people.
package struct NewDeadLetter: Sendable {
    package var queue: String
    /// Why, in one sentence.
    package var reason: String
    package var contentType: String?
    package var headers: JSONValue
    /// The first bytes, as many as were kept.
    package var body: [UInt8]
    /// The whole message's length.
    package var bodyBytes: Int

    package init(
        queue: String, reason: String, contentType: String?, headers: JSONValue, body: [UInt8], bodyBytes: Int
    ) {
        self.queue = queue
        self.reason = reason
        self.contentType = contentType
        self.headers = headers
        self.body = body
        self.bodyBytes = bodyBytes
    }
}
