/// The metadata keys that every part of Martlet uses, so that one query finds a task in all logs.
package enum LogKey {
    package static let run = "run"
    package static let task = "task"
    package static let stage = "stage"
    package static let attempt = "attempt"
    package static let pool = "pool"
    package static let worker = "worker"
    package static let pipeline = "pipeline"
    package static let event = "event"
    package static let queue = "queue"
    package static let error = "error"
    package static let traceID = "trace_id"
    package static let spanID = "span_id"
}
