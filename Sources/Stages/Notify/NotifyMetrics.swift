import Metrics

/// What the notify stage counts.
enum NotifyMetrics {
    static func told(_ receiver: Receiver, succeeded: Bool) {
        Counter(
            label: "martlet_notifications_total",
            dimensions: [("channel", receiver.channel), ("outcome", succeeded ? "succeeded" : "failed")]
        ).increment()
    }
}
