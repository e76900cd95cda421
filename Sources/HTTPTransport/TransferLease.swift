/// Ties a transfer to the life of whoever can still read its body: the last one to go aborts what is unfinished.
final class TransferLease: Sendable {
    let channel: ResponseChannel
    let display: String
    private let id: TransferID
    private let engine: CurlEngine
    private let pump: Task<Void, Never>?

    /// - Parameter pump: feeds the request body; ends with the transfer.
    init(
        id: TransferID, channel: ResponseChannel, display: String, engine: CurlEngine, pump: Task<Void, Never>?
    ) {
        self.id = id
        self.channel = channel
        self.display = display
        self.engine = engine
        self.pump = pump
    }

    deinit {
        abort(CancellationError())
    }

    func abort(_ reason: any Error) {
        pump?.cancel()
        guard !channel.isEnded else { return }
        engine.send(.abort(id))
        channel.finish(.failure(reason))
    }

    func head() async throws -> ResponseHead {
        try await withTaskCancellationHandler {
            try await channel.head()
        } onCancel: {
            abort(CancellationError())
        }
    }

    func next() async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await channel.next { engine.send(.resumeReceiving(id)) }
        } onCancel: {
            abort(CancellationError())
        }
    }
}
