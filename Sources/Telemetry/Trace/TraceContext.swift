package import Logging

/// A position in a distributed trace: W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context/).
///
/// Carried in every message as `traceparent` and `tracestate`; `child()` is the position of the next step.
package struct TraceContext: Hashable, Sendable {
    /// 16 bytes, never all zero.
    package let traceID: TraceID
    /// 8 bytes, never all zero: the step itself.
    package let spanID: SpanID
    /// Whether the caller may have recorded the trace; passed on unchanged.
    package let isSampled: Bool
    /// Vendors' own data, passed on unchanged; empty when there is none.
    package let state: TraceState

    /// The context of the work that the current task does.
    @TaskLocal package static var current: TraceContext?

    package init(traceID: TraceID, spanID: SpanID, isSampled: Bool, state: TraceState = TraceState()) {
        self.traceID = traceID
        self.spanID = spanID
        self.isSampled = isSampled
        self.state = state
    }

    /// A new trace with random ids, sampled.
    package static func root() -> TraceContext {
        TraceContext(traceID: .random(), spanID: .random(), isSampled: true)
    }

    /// The context that a message or request carries. Where `traceparent` is missing or malformed, a new
    /// trace begins and `tracestate` is ignored; a malformed `tracestate` alone is dropped.
    package static func received(traceparent: String?, tracestate: String?) -> TraceContext {
        traceparent.flatMap { TraceContext(traceparent: $0, tracestate: tracestate) } ?? .root()
    }

    /// Parses the headers; nil when `traceparent` is malformed.
    package init?(traceparent: String, tracestate: String? = nil) {
        guard let parent = TraceParent(traceparent) else { return nil }
        traceID = parent.traceID
        spanID = parent.spanID
        isSampled = parent.isSampled
        state = tracestate.flatMap { TraceState($0) } ?? TraceState()
    }

    /// The next step of the same trace.
    package func child() -> TraceContext {
        TraceContext(traceID: traceID, spanID: .random(), isSampled: isSampled, state: state)
    }

    /// The header's value, version 00.
    package var traceparent: String {
        "00-\(traceID)-\(spanID)-\(isSampled ? "01" : "00")"
    }

    /// The header's value; nil when there is nothing to send.
    package var tracestate: String? {
        state.isEmpty ? nil : state.description
    }

    /// What a log line of this step carries.
    package var logMetadata: Logger.Metadata {
        [LogKey.traceID: "\(traceID)", LogKey.spanID: "\(spanID)"]
    }

    /// Adds the current task's ids to every log line.
    package static let metadataProvider = Logger.MetadataProvider {
        current?.logMetadata ?? [:]
    }
}
