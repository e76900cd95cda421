import Coordination
import Logging

/// Tells the other gateways, through Redis, for which replicas this one works besides batches, and hears it of them: a batch
/// makes room for whoever comes, by whichever gateway.
///
/// While Redis is away each gateway knows of its own clients only.
struct BusySync: Sendable {
    let core: GatewayCore
    let coordinator: Coordinator
    /// This gateway's name, unlike the others'.
    let name: String
    let log: Logger

    private static let interval = Duration.milliseconds(300)
    /// For so long a note holds.
    private static let validity = Duration.seconds(1)
    private static let timeout = Duration.seconds(1)

    /// Until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            do {
                let busy = try await coordinator.shareBusy(
                    core.admission.busyReplicas(), gateway: name, validity: Self.validity, timeout: Self.timeout)
                core.admission.othersWork(for: busy)
            } catch {
                log.debug("the other gateways' work is not known", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: Self.interval)
        }
    }
}
