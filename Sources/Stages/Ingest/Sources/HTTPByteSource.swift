import HTTPTransport

/// A file on an HTTP server.
struct HTTPByteSource: ByteSource {
    let metadata: SourceMetadata
    private let url: String
    private let transport: HTTPTransport

    /// Opens the file once to learn its size and tag; a server that refuses it is told at once.
    init(uri: String, transport: HTTPTransport) async throws {
        url = uri
        self.transport = transport
        let response = try await Self.open(uri, transport)
        metadata = SourceMetadata(
            uri: Self.display(uri), size: response.headers["Content-Length"].flatMap { Int64($0) },
            validator: response.headers["ETag"] ?? response.headers["Last-Modified"],
            contentType: response.headers["Content-Type"])
    }

    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable {
        ErasedChunks(try await Self.open(url, transport).body)
    }

    private static func open(_ url: String, _ transport: HTTPTransport) async throws -> HTTPResponse {
        let response = try await transport.send(HTTPRequest(url: url, maximumRedirects: 5, hidesPath: false))
        guard !response.isSuccess else { return response }
        let place = display(url)
        switch response.status {
        case 404, 410:
            throw IngestError(
                .sourceNotFound,
                "\(place): the server answers \(response.status), there is no such file. Check the URL.")
        case 401, 403:
            throw IngestError(
                .sourceUnreadable,
                "\(place): the server answers \(response.status), access is refused. Use a URL that this worker may read."
            )
        default:
            let isRetryable = response.status >= 500 || response.status == 429 || response.status == 408
            throw IngestError(
                .sourceUnreadable, "\(place): the server answers \(response.status) instead of the file.",
                isRetryable: isRetryable)
        }
    }

    /// The URL without user name, password, query and fragment: those may be secrets.
    static func display(_ url: String) -> String {
        var text = String(url.prefix { $0 != "?" && $0 != "#" })
        guard let scheme = text.firstRange(of: "://", from: text.startIndex) else { return text }
        let authority = text[scheme.upperBound...].prefix { $0 != "/" }
        if let at = authority.lastIndex(of: "@") {
            text.removeSubrange(scheme.upperBound...at)
        }
        return text
    }
}
