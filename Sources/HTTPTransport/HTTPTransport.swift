package import Logging

/// HTTP over libcurl: one thread for any number of calls, streaming both ways, connections kept for reuse.
///
/// `close()` ends it; dropping it does the same as soon as the last response body is gone.
package final class HTTPTransport: Sendable {
    package let configuration: HTTPTransportConfiguration
    let engine: CurlEngine
    let logger: Logger

    package init(configuration: HTTPTransportConfiguration = HTTPTransportConfiguration(), logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        engine = CurlEngine(configuration: configuration)
    }

    /// Sends the request and returns at the head of the answer, whatever its status.
    ///
    /// Retries and redirects happen in here, as the request allows.
    /// - Throws: `HTTPError`, or `CancellationError`; both leave no connection in mid-protocol behind.
    package func send(_ request: HTTPRequest) async throws -> HTTPResponse {
        var call = HTTPCall(request: request, destination: nil, transport: self)
        return try await call.run()
    }

    /// Sends the request and writes an accepted body into a file on the transport's own thread.
    ///
    /// Only calls whose head has not arrived are retried. When this throws, the file may hold a part of the body.
    package func download(_ request: HTTPRequest, to destination: HTTPFileDestination) async throws -> HTTPDownload {
        var call = HTTPCall(request: request, destination: destination, transport: self)
        let response = try await call.run()
        let lease = response.body.lease
        guard lease.channel.isWrittenToFile else {
            return HTTPDownload(
                status: response.status, headers: response.headers, isWritten: false, bytesWritten: 0,
                errorBody: try await response.body.prefix(bytes: 64 << 10))
        }
        // No chunk comes this way: the wait is for the end, and for the error if there is one.
        while try await lease.next() != nil {}
        return HTTPDownload(
            status: response.status, headers: response.headers, isWritten: true,
            bytesWritten: lease.channel.bytesWritten, errorBody: [])
    }

    /// Aborts the calls that are open, closes all connections and returns when the thread has ended.
    package func close() async {
        await engine.close()
    }
}
