/// One thing a process needs to do its work.
package struct ReadinessCheck: Sendable {
    /// `postgresql`, `rabbitmq`, `draining`.
    package let name: String
    /// Returns when all is well; throws with the reason, whose description must hold no secret.
    package let check: @Sendable () async throws -> Void

    package init(_ name: String, check: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.check = check
    }
}
