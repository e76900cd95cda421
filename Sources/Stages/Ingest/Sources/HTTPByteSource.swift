import HTTPTransport

/// A file on an HTTP server.
struct HTTPByteSource: ByteSource {
    let metadata: SourceMetadata
    private let url: String
    private let transport: HTTPTransport
    private let addresses: HTTPAddressPolicy

    /// Opens the file once to learn its size and tag; a server that refuses it is told at once.
    ///
    /// With GET, not HEAD: presigned URLs and simple servers refuse HEAD or answer it with another length. The body
    /// is dropped, which closes that connection.
    init(uri: String, transport: HTTPTransport, addresses: HTTPAddressPolicy) async throws {
        url = uri
        self.transport = transport
        self.addresses = addresses
        metadata = Self.metadata(of: try await Self.open(uri, transport, addresses), uri)
    }

    /// - Throws: `IngestError` with code `ingest.source_changed` when it is no longer the file whose tag is known: that
    ///   tag is in the key under which the dataset is found again.
    func chunks() async throws -> any AsyncSequence<[UInt8], any Error> & Sendable {
        let response = try await Self.open(url, transport, addresses)
        let now = Self.metadata(of: response, url)
        guard now.validator == metadata.validator, now.size == metadata.size else {
            throw IngestError(
                .sourceChanged,
                "\(metadata.uri) was changed while it was being opened (\(Self.text(metadata)), then \(Self.text(now))). "
                    + "Put new data under a new name.", isRetryable: true)
        }
        return ErasedChunks(response.body)
    }

    private static func metadata(of response: HTTPResponse, _ url: String) -> SourceMetadata {
        SourceMetadata(
            uri: display(url), size: response.headers["Content-Length"].flatMap { Int64($0) },
            validator: response.headers["ETag"] ?? response.headers["Last-Modified"],
            contentType: response.headers["Content-Type"])
    }

    private static func text(_ metadata: SourceMetadata) -> String {
        "\(metadata.validator?.prefix(100) ?? "no tag"), \(metadata.size.map { "\($0) bytes" } ?? "no length")"
    }

    private static func open(
        _ url: String, _ transport: HTTPTransport, _ addresses: HTTPAddressPolicy
    ) async throws -> HTTPResponse {
        let response: HTTPResponse
        do {
            response = try await transport.send(
                HTTPRequest(url: url, maximumRedirects: 5, addressPolicy: addresses))
        } catch let error as HTTPError where error.code == .addressRefused {
            throw IngestError(
                .sourceRefused,
                "\(display(url)): \(error.message). Serve the file from another address; loopback must be allowed by "
                    + "ingest.allow_addresses, link-local and metadata addresses never are.", cause: error)
        }
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
