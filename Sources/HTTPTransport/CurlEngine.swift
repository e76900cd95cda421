import CCurl
import Synchronization

/// Numbers transfers; never used twice within one engine.
struct TransferID: Hashable, Sendable {
    let number: UInt64
}

/// What a task asks of the transport's thread.
enum CurlCommand: Sendable {
    case start(TransferID, TransferSpec, ResponseChannel)
    case abort(TransferID)
    case resumeReceiving(TransferID)
    case resumeSending(TransferID)
    case close(CheckedContinuation<Void, Never>?)
}

/// The thread's door: starts it with the first call, passes commands, ends it when dropped.
final class CurlEngine: Sendable {
    private let inbox: CurlInbox
    private let configuration: HTTPTransportConfiguration
    private let nextID = Atomic<UInt64>(1)

    init(configuration: HTTPTransportConfiguration) {
        self.configuration = configuration
        inbox = CurlInbox()
    }

    deinit {
        inbox.send(.close(nil), starting: nil)
    }

    func makeID() -> TransferID {
        TransferID(number: nextID.add(1, ordering: .relaxed).oldValue)
    }

    /// A command for a thread that has ended is dropped, but a `start` fails its channel.
    func send(_ command: CurlCommand) {
        inbox.send(command, starting: configuration)
    }

    func close() async {
        await withCheckedContinuation { continuation in
            inbox.send(.close(continuation), starting: nil)
        }
    }
}
