/// Ties a transfer to the life of whoever can still read its body: the last one to go aborts what is unfinished.
final class TransferLease: Sendable {
    let channel: ResponseChannel
    let display: String
    private let id: TransferID
    private let engine: CurlEngine
    private let pump: Task<Void, Never>?
    private let mayWriteToFile: Bool

    /// - Parameters:
    ///   - pump: feeds the request body; ends with the transfer.
    ///   - mayWriteToFile: whether the transfer has an `HTTPFileDestination`.
    init(
        id: TransferID, channel: ResponseChannel, display: String, engine: CurlEngine, pump: Task<Void, Never>?,
        mayWriteToFile: Bool = false
    ) {
        self.id = id
        self.channel = channel
        self.display = display
        self.engine = engine
        self.pump = pump
        self.mayWriteToFile = mayWriteToFile
    }

    deinit {
        abort()
    }

    func abort() {
        pump?.cancel()
        guard !channel.isEnded else { return }
        engine.send(.abort(id))
        // The transport's thread may be writing at this moment. It tells the end when it no longer does: before that the
        // caller must not close the file, as another one may then get its number.
        if !mayWriteToFile { channel.finish(.failure(CancellationError())) }
    }

    func head() async throws -> ResponseHead {
        try await withTaskCancellationHandler {
            try await channel.head()
        } onCancel: {
            abort()
        }
    }

    func next() async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await channel.next { engine.send(.resumeReceiving(id)) }
        } onCancel: {
            abort()
        }
    }
}
