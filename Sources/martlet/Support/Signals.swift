import Dispatch
import Glibc

/// SIGTERM and SIGINT as a call instead of an end.
final class Signals: Sendable {
    // Proof: made once, cancelled in deinit, never changed; dispatch sources are thread-safe.
    private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

    /// - Parameter handler: called at the first and every further signal.
    init(_ numbers: [Int32] = [SIGTERM, SIGINT], handler: @escaping @Sendable () -> Void) {
        sources = numbers.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler(handler: handler)
            source.resume()
            return source
        }
    }

    deinit {
        for source in sources { source.cancel() }
    }
}
