import HTTPWire
import NIOCore

/// Who gets the answer of a replica.
protocol UpstreamReceiver: AnyObject {
    /// - Parameter bytes: the head, to which the places in `head` refer.
    func upstreamHead(_ head: ResponseHead, _ bytes: UnsafeRawBufferPointer)
    func upstreamContent(_ content: ByteBuffer)
    /// What was received at once has been handed over.
    func flush()
    /// - Parameter isCertain: whether the answer said where it ends; else only the connection did, as it does too when the
    ///   replica dies.
    func upstreamEnded(isCertain: Bool)
    /// - Parameters:
    ///   - canRetry: whether the failure came before anything of an answer.
    ///   - isStale: the replica had closed a connection that was kept for reuse, which is no fault of its.
    func upstreamFailed(_ error: GatewayError, canRetry: Bool, isStale: Bool)
}
