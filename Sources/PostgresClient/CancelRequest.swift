import CPostgres
import Glibc

/// Sends libpq's cancel request on a thread of its own, because `PQcancel` blocks until the
/// server has closed the request's connection (and so has signalled the backend).
enum CancelRequest {
    private final class Job: Sendable {
        // Proof: `PQcancel` and `PQfreeCancel` may run on any thread (manual, 34.7), and only this
        // job's thread touches the pointer.
        nonisolated(unsafe) let cancel: OpaquePointer
        let completion: @Sendable (String?) -> Void

        init(cancel: OpaquePointer, completion: @escaping @Sendable (String?) -> Void) {
            self.cancel = cancel
            self.completion = completion
        }

        func run() {
            var buffer = [CChar](repeating: 0, count: 256)
            let sent = PQcancel(cancel, &buffer, Int32(buffer.count))
            PQfreeCancel(cancel)
            let reason = String(
                decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            completion(sent == 1 ? nil : reason)
        }
    }

    /// - Parameter completion: called on the request's thread with nil, or with why it failed.
    static func send(_ connection: OpaquePointer, completion: @escaping @Sendable (String?) -> Void) {
        guard let cancel = PQgetCancel(connection) else { return completion("no cancel key") }
        let job = Unmanaged.passRetained(Job(cancel: cancel, completion: completion))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, job.toOpaque())
        if status != 0 {
            PQfreeCancel(job.takeRetainedValue().cancel)
            completion("pthread_create failed: \(status)")
        }
    }
}
