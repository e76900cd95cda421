/// What a test relies on did not happen.
struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// The first value of `look` that is not nil.
/// - Throws: ``Unexpected`` with `what` when there is none within `limit`.
func eventually<Value>(
    _ what: String, within limit: Duration = .seconds(60), isolation: isolated (any Actor)? = #isolation,
    _ look: () async throws -> Value?
) async throws -> Value {
    let deadline = ContinuousClock.now + limit
    while true {
        if let value = try await look() { return value }
        guard ContinuousClock.now < deadline else { throw Unexpected("not within \(limit): \(what)") }
        // Processes are watched from outside: there is nothing to wait on but what they leave behind.
        try await Task.sleep(for: .milliseconds(50))
    }
}
