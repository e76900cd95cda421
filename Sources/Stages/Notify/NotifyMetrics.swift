import Metrics

/// Who was told, counted.
enum NotifyMetrics {
    static func told(_ receiver: Receiver, succeeded: Bool) {
        Counter(
            label: "martlet_notifications_total",
            dimensions: [("channel", receiver.channel), ("outcome", succeeded ? "succeeded" : "failed")]
        ).increment()
    }
}
