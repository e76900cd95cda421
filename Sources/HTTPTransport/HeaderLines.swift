/// A request's header fields in libcurl's form, checked: nothing a caller passes can add a line or change the framing.
struct HeaderLines {
    let lines: [String]

    /// - Throws: `HTTPError` that names the field.
    init(_ request: HTTPRequest, bodyLength: Int64?) throws {
        guard Self.isToken(request.method) else {
            throw Self.invalid("the method is not an HTTP token")
        }
        var lines: [String] = []
        for header in request.headers {
            guard Self.isToken(header.name) else {
                throw Self.invalid("the header name '\(header.name.debugDescription)' is not an HTTP token")
            }
            guard !header.value.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f }) else {
                throw Self.invalid("the value of the header \(header.name) holds a line break or control character")
            }
            switch header.name.lowercased() {
            case "content-length":
                // libcurl sends the one it computes; a different one would end the request elsewhere.
                guard let bodyLength, header.value == String(bodyLength) else {
                    throw Self.invalid("Content-Length is the transport's to send; give the body its length instead")
                }
            case "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer", "proxy-connection":
                throw Self.invalid("the header \(header.name) is the transport's own")
            default:
                // A semicolon is how libcurl is asked to send an empty value; a colon alone would drop the field.
                lines.append(header.value.isEmpty ? "\(header.name);" : "\(header.name): \(header.value)")
            }
        }
        self.lines = lines
    }

    private static func isToken(_ text: String) -> Bool {
        let marks = Set("!#$%&'*+-.^_`|~".utf8)
        return !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || marks.contains(byte)
            }
    }

    private static func invalid(_ what: String) -> HTTPError {
        HTTPError(code: .invalidRequest, message: "the request cannot be sent: \(what)")
    }
}
