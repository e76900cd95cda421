import Glibc

/// Returns when a minute by the clock has at least fifteen seconds left: limits are counted in such minutes.
package func waitForRoomInTheMinute() async throws {
    while time(nil) % 60 >= 45 { try await Task.sleep(for: .milliseconds(100)) }
}
