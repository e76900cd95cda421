/// Doubles from the initial wait to the longest; each is drawn between half and all of it, so that
/// a fleet does not come back in step.
struct BackoffState {
    private let settings: AMQPConfiguration.Backoff
    private var failures = 0

    init(_ settings: AMQPConfiguration.Backoff) {
        self.settings = settings
    }

    mutating func next() -> Duration {
        next(jitter: .random(in: 0.5...1))
    }

    mutating func next(jitter: Double) -> Duration {
        let ceiling = min(settings.maximum, settings.initial * (1 << min(failures, 20)))
        failures += 1
        return ceiling * jitter
    }

    mutating func reset() {
        failures = 0
    }
}
