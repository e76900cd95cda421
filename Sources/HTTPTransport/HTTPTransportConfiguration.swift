/// What is shared by every call of one transport.
package struct HTTPTransportConfiguration: Sendable {
    /// PEM file with the authorities to trust instead of the system's.
    package var certificateAuthorityFile: String?

    /// Folder of hashed PEM files, besides or instead of the file.
    package var certificateAuthorityFolder: String?

    package var proxy: HTTPProxy

    /// Open calls to one origin; further ones wait in order of arrival.
    package var maximumConnectionsPerHost: Int

    /// Open calls in all, and connections kept for reuse.
    package var maximumConnections: Int

    package var userAgent: String

    /// Bytes of one read from a socket, at most 512 KiB.
    package var receiveBufferSize: Int

    /// Bytes of one write to a socket, 16 KiB to 2 MiB.
    package var sendBufferSize: Int

    /// Bytes of a response body that wait for their consumer before the socket is no longer read, and of a streamed
    /// request body before its source has to wait.
    package var streamBufferSize: Int

    /// All header lines of one answer, in bytes and in number.
    package var maximumHeaderBytes: Int
    package var maximumHeaderCount: Int

    /// HTTP/2 is offered over TLS. Off by default: bodies here are paused for backpressure, and HTTP/1.1 keeps one
    /// slow reader from holding up another's connection.
    package var offersHTTP2: Bool

    /// - Parameter environment: read once, for `http_proxy` and its kin, `SSL_CERT_FILE`, `CURL_CA_BUNDLE` and
    ///   `SSL_CERT_DIR`; values set on the result afterwards win.
    package init(environment: [String: String] = HTTPTransportConfiguration.processEnvironment()) {
        func value(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        certificateAuthorityFile = value("CURL_CA_BUNDLE") ?? value("SSL_CERT_FILE")
        certificateAuthorityFolder = value("SSL_CERT_DIR")
        proxy = HTTPProxy(environment: environment)
        maximumConnectionsPerHost = 32
        maximumConnections = 128
        userAgent = "martlet"
        receiveBufferSize = 256 << 10
        sendBufferSize = 256 << 10
        streamBufferSize = 1 << 20
        maximumHeaderBytes = 128 << 10
        maximumHeaderCount = 256
        offersHTTP2 = false
    }
}
