/// The head of an HTTP/1.1 request: places in the bytes it was read from.
///
/// Read strictly (RFC 9112): what two servers may read differently is refused, because a request that is passed on must
/// mean the same to both. Refused are bare line feeds, folded lines, white space before a colon, control characters, a
/// length beside a transfer coding or given twice, any transfer coding but `chunked`, and a missing or second `Host`.
///
/// One value is used again for all requests of a connection, so that its array is allocated once.
package struct RequestHead: Sendable {
    /// The methods that are told apart.
    package enum Method: Sendable {
        case get
        case head
        case post
        case delete
        case options
        case other
    }

    /// Fields of one head.
    package static let fieldLimit = 100

    package private(set) var method = Method.other
    /// The path, without the query.
    package private(set) var path = 0..<0
    /// What follows the question mark.
    package private(set) var query = 0..<0
    package private(set) var fields: [HeaderField] = []
    package private(set) var framing = BodyFraming.length(0)
    /// Whether the connection goes on after this request.
    package private(set) var keepsAlive = true
    /// Whether the client waits for `100 Continue` before it sends the body.
    package private(set) var expectsContinue = false
    /// Whether it was sent with HTTP/1.0, and so the answer cannot be chunked.
    package private(set) var isOldVersion = false
    /// Bytes of the head with its empty line.
    package private(set) var length = 0

    package init() {}

    /// Reads a head.
    /// - Parameters:
    ///   - bytes: from the head's first byte on.
    ///   - searched: bytes that held no end of a head before; updated.
    ///   - limit: bytes a head may have.
    /// - Returns: false while the head is incomplete.
    /// - Throws: `HTTPFault` with the status to answer with; the connection is to be closed after it.
    package mutating func read(
        _ bytes: UnsafeRawBufferPointer, searched: inout Int, limit: Int
    ) throws(HTTPFault) -> Bool {
        // Empty lines before a request are passed over (§2.2), as some clients send one after a body.
        var skipped = 0
        while skipped + 1 < bytes.count, skipped < 8, bytes[skipped] == HeadBytes.carriageReturn,
            bytes[skipped + 1] == HeadBytes.lineFeed
        {
            skipped += 2
        }
        let own = UnsafeRawBufferPointer(rebasing: bytes[skipped...])
        guard let end = HeadBytes.end(in: own, from: max(0, searched - skipped)) else {
            searched = bytes.count
            guard bytes.count <= limit else { throw Self.tooLong(limit) }
            return false
        }
        guard end <= limit else { throw Self.tooLong(limit) }
        searched = 0
        length = skipped + end
        var head = HeadBytes(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<length]), at: skipped)
        try requestLine(&head)
        fields.removeAll(keepingCapacity: true)
        try head.fields(into: &fields, limit: Self.fieldLimit)
        try interpret(head)
        return true
    }

    /// Before another request's head comes: what is answered until it is read must not follow the one before.
    package mutating func forget() {
        method = .other
        isOldVersion = false
        length = 0
    }

    /// The value of a field that decides something, where it is given once or more: the first.
    package func value(of field: KnownField) -> Range<Int>? {
        fields.first { $0.known == field }?.value
    }

    private static func tooLong(_ limit: Int) -> HTTPFault {
        HTTPFault(431, "the request line and header fields have more than \(limit) bytes")
    }

    private mutating func requestLine(_ head: inout HeadBytes) throws(HTTPFault) {
        let start = head.at
        while HeadBytes.isToken(head.bytes[head.at]) { head.at += 1 }
        method = Self.method(head.bytes[start..<head.at])
        guard head.at > start, head.bytes[head.at] == HeadBytes.space else {
            throw HTTPFault(400, "the request does not begin with a method and one space")
        }
        head.at += 1
        let target = head.at
        // Visible ASCII only: what a path may hold besides is written with %.
        while head.bytes[head.at] > 0x20, head.bytes[head.at] < 0x7f { head.at += 1 }
        let targetEnd = head.at
        guard targetEnd > target, head.bytes[head.at] == HeadBytes.space else {
            throw HTTPFault(400, "the request's target is empty, or holds a character that must be escaped with %")
        }
        head.at += 1
        try version(&head)
        try split(head, target..<targetEnd)
    }

    private mutating func version(_ head: inout HeadBytes) throws(HTTPFault) {
        let expected: StaticString = "HTTP/"
        for index in 0..<5 {
            guard head.bytes[head.at] == expected.utf8Start[index] else {
                throw HTTPFault(400, "the request line does not end with a version of HTTP after one space")
            }
            head.at += 1
        }
        let isDigits =
            head.bytes[head.at] &- 0x30 < 10 && head.bytes[head.at + 1] == UInt8(ascii: ".")
            && head.bytes[head.at + 2] &- 0x30 < 10
        guard isDigits else {
            throw HTTPFault(400, "the request line does not end with a version of HTTP after one space")
        }
        guard head.bytes[head.at] == UInt8(ascii: "1") else {
            throw HTTPFault(505, "only HTTP/1.1 and HTTP/1.0 are understood here")
        }
        isOldVersion = head.bytes[head.at + 2] == UInt8(ascii: "0")
        head.at += 3
        try head.endOfLine()
    }

    /// Separates path and query; a target in absolute form loses its scheme and authority (§3.2.2).
    private mutating func split(_ head: HeadBytes, _ target: Range<Int>) throws(HTTPFault) {
        var start = target.lowerBound
        if head.bytes[start] != UInt8(ascii: "/") {
            if target.count == 1, head.bytes[start] == UInt8(ascii: "*"), method == .options {
                path = target
                query = target.upperBound..<target.upperBound
                return
            }
            let scheme = [7, 8].first { length in
                target.count > length
                    && (head.isEqual(start..<start + length, "http://")
                        || head.isEqual(start..<start + length, "https://"))
            }
            guard let scheme else { throw HTTPFault(400, "the request's target must begin with a slash") }
            start += scheme
            let authority = start
            let ends = [UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")]
            while start < target.upperBound, !ends.contains(head.bytes[start]) { start += 1 }
            guard start > authority, start < target.upperBound, head.bytes[start] == UInt8(ascii: "/") else {
                throw HTTPFault(400, "the request's target has no host, or no path")
            }
        }
        let mark = head.bytes[start..<target.upperBound].firstIndex(of: UInt8(ascii: "?"))
        path = start..<(mark ?? target.upperBound)
        query = mark.map { $0 + 1..<target.upperBound } ?? target.upperBound..<target.upperBound
    }

    private mutating func interpret(_ head: HeadBytes) throws(HTTPFault) {
        keepsAlive = !isOldVersion
        expectsContinue = false
        var length: Int?
        var isChunked = false
        var hosts = 0
        for field in fields {
            switch field.known {
            case .contentLength:
                guard length == nil else { throw HTTPFault(400, "Content-Length is given twice") }
                guard let value = head.length(field.value) else {
                    throw HTTPFault(400, "Content-Length is not a number of bytes")
                }
                length = value
            case .transferEncoding:
                guard !isChunked else { throw HTTPFault(400, "Transfer-Encoding is given twice") }
                guard head.isEqual(field.value, "chunked") else {
                    throw HTTPFault(501, "the only Transfer-Encoding that is understood here is chunked")
                }
                isChunked = true
            case .connection:
                try head.tokens(field.value) { token throws(HTTPFault) in
                    if head.isEqual(token, "close") { keepsAlive = false }
                    if isOldVersion, head.isEqual(token, "keep-alive") { keepsAlive = true }
                }
            case .expect:
                guard head.isEqual(field.value, "100-continue") else {
                    throw HTTPFault(417, "the only expectation that can be met is 100-continue")
                }
                expectsContinue = !isOldVersion
            case .host:
                hosts += 1
            default: break
            }
        }
        guard hosts == 1 || hosts == 0 && isOldVersion else {
            throw HTTPFault(400, hosts == 0 ? "the Host header field is missing" : "Host is given twice")
        }
        if isChunked {
            guard length == nil else { throw HTTPFault(400, "both Content-Length and Transfer-Encoding are given") }
            guard !isOldVersion else { throw HTTPFault(400, "HTTP/1.0 has no Transfer-Encoding") }
            framing = .chunked
        } else {
            framing = .length(length ?? 0)
        }
    }

    private static func method(_ bytes: Slice<UnsafeRawBufferPointer>) -> Method {
        func isEqual(_ name: StaticString) -> Bool {
            bytes.count == name.utf8CodeUnitCount
                && bytes.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        }
        switch bytes.count {
        case 3 where isEqual("GET"): return .get
        case 4 where isEqual("POST"): return .post
        case 4 where isEqual("HEAD"): return .head
        case 6 where isEqual("DELETE"): return .delete
        case 7 where isEqual("OPTIONS"): return .options
        default: return .other
        }
    }
}
