/// Why telemetry could not be set up.
package struct TelemetryError: Error, Sendable, CustomStringConvertible {
    /// The class of the failure; new ones may be added.
    package struct Code: Hashable, Sendable {
        let name: String

        /// The address for health and metrics is taken or not this machine's.
        package static let addressUnavailable = Code(name: "addressUnavailable")
    }

    package let code: Code
    /// What failed and what to do about it.
    package let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// True when the same call may succeed later.
    package var isRetryable: Bool {
        code == .addressUnavailable
    }

    package var description: String {
        message
    }
}
