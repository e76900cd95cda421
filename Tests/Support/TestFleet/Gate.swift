import Synchronization

/// Lets handlers wait for a test, and a test for handlers.
package final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var arrivals: [String] = []
    }

    private let state = Mutex(State())

    package init() {}

    package func open() { state.withLock { $0.isOpen = true } }

    package var arrivals: [String] { state.withLock(\.arrivals) }

    /// Notes that somebody came.
    package func arrive(_ name: String = "") {
        state.withLock { $0.arrivals.append(name) }
    }

    /// Notes that somebody came, and waits until the gate is open; cancelled waits throw.
    package func pass(_ name: String = "") async throws {
        arrive(name)
        while !state.withLock(\.isOpen) { try await Task.sleep(for: .milliseconds(10)) }
    }

    /// Returns once `count` have come.
    package func waitForArrivals(_ count: Int) async throws {
        try await eventually { self.arrivals.count >= count }
    }
}

/// Waits until `condition` holds; the test's time limit bounds it.
package func eventually(_ condition: () async throws -> Bool) async throws {
    while try await !condition() { try await Task.sleep(for: .milliseconds(20)) }
}
