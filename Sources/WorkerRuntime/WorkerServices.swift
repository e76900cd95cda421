package import Broker
package import Coordination
package import Logging
package import ObjectStorage

/// What a worker stands on.
package struct WorkerServices: Sendable {
    let broker: Broker
    let coordinator: Coordinator
    let storage: S3Client
    let handlers: [String: any StageHandler]
    let logger: Logger

    package init(
        broker: Broker, coordinator: Coordinator, storage: S3Client, handlers: [any StageHandler], logger: Logger
    ) {
        self.broker = broker
        self.coordinator = coordinator
        self.storage = storage
        self.handlers = Dictionary(handlers.map { ($0.kind, $0) }, uniquingKeysWith: { _, last in last })
        self.logger = logger
    }
}
