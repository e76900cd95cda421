/// The envelope of every message: CloudEvents 1.0, structured JSON
/// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
package struct CloudEvent<Payload: Sendable & Codable>: Sendable, Codable {
    package var specversion: String
    package var type: String
    package var source: String
    /// Unique in its source: an event with a known (source, id) is a duplicate.
    package var id: String
    package var subject: String?
    package var time: Timestamp?
    package var datacontenttype: String?
    /// W3C trace context, as the distributed-tracing extension of CloudEvents spells it.
    package var traceparent: String?
    package var tracestate: String?
    /// Extension of task messages: which attempt of the task this is, from 1.
    package var attempt: Int?
    package var data: Payload?

    package init(
        type: String, source: String, id: String, subject: String? = nil, time: Timestamp? = nil,
        traceparent: String? = nil, tracestate: String? = nil, attempt: Int? = nil, data: Payload
    ) {
        specversion = "1.0"
        self.type = type
        self.source = source
        self.id = id
        self.subject = subject
        self.time = time
        datacontenttype = "application/json"
        self.traceparent = traceparent
        self.tracestate = tracestate
        self.attempt = attempt
        self.data = data
    }
}
