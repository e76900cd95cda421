/// The head of an HTTP/1.1 response: places in the bytes it was read from. Read as strictly as `RequestHead`.
package struct ResponseHead: Sendable {
    package private(set) var status = 0
    package private(set) var fields: [HeaderField] = []
    package private(set) var framing = BodyFraming.length(0)
    /// Whether the connection can be used again after the body.
    package private(set) var keepsAlive = true
    /// Bytes of the head with its empty line.
    package private(set) var length = 0

    package init() {}

    /// Whether answers with a status have no content, and therefore nothing that says how long it is (RFC 9110, 8.6 and 15).
    package static func isEmpty(_ status: Int) -> Bool { status < 200 || status == 204 || status == 304 }

    /// Reads a head.
    /// - Parameters:
    ///   - bytes: from the head's first byte on.
    ///   - searched: bytes that held no end of a head before; updated.
    ///   - limit: bytes a head may have.
    ///   - isHeadRequest: whether it answers a HEAD request, and so has no body.
    /// - Returns: false while the head is incomplete.
    /// - Throws: `HTTPFault` (502): what sends this is no HTTP server.
    package mutating func read(
        _ bytes: UnsafeRawBufferPointer, searched: inout Int, limit: Int, isHeadRequest: Bool = false
    ) throws(HTTPFault) -> Bool {
        do {
            return try parse(bytes, searched: &searched, limit: limit, isHeadRequest: isHeadRequest)
        } catch {
            throw HTTPFault(502, error.message)
        }
    }

    /// The value of a field that decides something: the first.
    package func value(of field: KnownField) -> Range<Int>? {
        fields.first { $0.known == field }?.value
    }

    private mutating func parse(
        _ bytes: UnsafeRawBufferPointer, searched: inout Int, limit: Int, isHeadRequest: Bool
    ) throws(HTTPFault) -> Bool {
        guard let end = HeadBytes.end(in: bytes, from: searched) else {
            searched = bytes.count
            guard bytes.count <= limit else { throw HTTPFault(502, "a response's head has more than \(limit) bytes") }
            return false
        }
        guard end <= limit else { throw HTTPFault(502, "a response's head has more than \(limit) bytes") }
        searched = 0
        length = end
        var head = HeadBytes(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<end]), at: 0)
        let isOldVersion = try statusLine(&head)
        fields.removeAll(keepingCapacity: true)
        try head.fields(into: &fields, limit: RequestHead.fieldLimit)
        try interpret(head, isOldVersion: isOldVersion, isHeadRequest: isHeadRequest)
        return true
    }

    private mutating func statusLine(_ head: inout HeadBytes) throws(HTTPFault) -> Bool {
        let bytes = head.bytes
        let digit = { (index: Int) in Int(bytes[index] &- 0x30) }
        guard bytes.count >= 16, head.isEqual(0..<7, "http/1."), bytes[0] == UInt8(ascii: "H"), digit(7) < 10,
            bytes[8] == HeadBytes.space, digit(9) < 10, digit(10) < 10, digit(11) < 10
        else { throw HTTPFault(502, "a response does not begin with a version of HTTP and a status") }
        status = digit(9) * 100 + digit(10) * 10 + digit(11)
        guard status >= 100 else { throw HTTPFault(502, "a response has the status \(status)") }
        head.at = 12
        guard bytes[12] == HeadBytes.space || bytes[12] == HeadBytes.carriageReturn else {
            throw HTTPFault(502, "a response has a status of more than three digits")
        }
        // The reason may be missing, with or without its space.
        while bytes[head.at] >= 0x20 || bytes[head.at] == HeadBytes.tab { head.at += 1 }
        try head.endOfLine()
        return bytes[7] == UInt8(ascii: "0")
    }

    private mutating func interpret(
        _ head: HeadBytes, isOldVersion: Bool, isHeadRequest: Bool
    ) throws(HTTPFault) {
        keepsAlive = !isOldVersion
        var length: Int?
        var isChunked = false
        for field in fields {
            switch field.known {
            case .contentLength:
                guard let value = head.length(field.value), length == nil else {
                    throw HTTPFault(502, "a response's Content-Length is given twice or not a number")
                }
                length = value
            case .transferEncoding:
                guard !isChunked, head.isEqual(field.value, "chunked") else {
                    throw HTTPFault(502, "a response has a Transfer-Encoding that is not chunked")
                }
                isChunked = true
            case .connection:
                try head.tokens(field.value) { token throws(HTTPFault) in
                    if head.isEqual(token, "close") { keepsAlive = false }
                    if isOldVersion, head.isEqual(token, "keep-alive") { keepsAlive = true }
                }
            default: break
            }
        }
        guard !isChunked || length == nil else {
            throw HTTPFault(502, "a response has both Content-Length and Transfer-Encoding")
        }
        if isHeadRequest || Self.isEmpty(status) {
            framing = .length(0)
        } else if isChunked {
            framing = .chunked
        } else if let length {
            framing = .length(length)
        } else {
            framing = .untilClose
            keepsAlive = false
        }
    }
}
