import HTTPTransport
import NIOCore
import Synchronization

/// Sends copies of requests to the candidate of a rollout, through the gateway's own door, and throws the answers away: what
/// is compared is counted there as for any request.
final class Mirror: Sendable {
    private let transport: HTTPTransport
    private let url: String
    private let authorization: String
    private let running = Atomic(0)

    /// Copies at the same time; more are not made.
    private static let limit = 16
    private static let answerLimit = 32 << 20

    /// - Parameters:
    ///   - url: the gateway's own.
    ///   - authorization: by which it knows its own copies.
    init(transport: HTTPTransport, url: String, authorization: String) {
        self.transport = transport
        self.url = url
        self.authorization = authorization
    }

    /// Has a request answered once more.
    func copy(_ endpoint: Endpoint, _ body: ByteBuffer) {
        guard running.add(1, ordering: .relaxed).newValue <= Self.limit else {
            running.subtract(1, ordering: .relaxed)
            return
        }
        let request = HTTPRequest(
            method: "POST", url: "\(url)\(endpoint.path)",
            headers: [HTTPHeader("authorization", authorization), HTTPHeader("content-type", "application/json")],
            body: .bytes(Array(body.readableBytesView)), retry: .none, proxy: .direct)
        // Unstructured: nobody waits for it.
        Task {
            defer { running.subtract(1, ordering: .relaxed) }
            // What it failed at is counted where it failed.
            guard let response = try? await transport.send(request) else { return }
            _ = try? await response.body.collect(upTo: Self.answerLimit)
        }
    }
}
