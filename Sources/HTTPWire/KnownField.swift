/// The header fields that decide anything; all others are `other`.
package enum KnownField: UInt8, Sendable {
    case other
    case accept
    case authorization
    case connection
    case contentEncoding
    case contentLength
    case contentType
    case date
    case expect
    case host
    case keepAlive
    case proxyAuthenticate
    case proxyConnection
    case requestID
    case retryAfter
    case server
    case setCookie
    case te
    case traceparent
    case tracestate
    case trailer
    case transferEncoding
    case upgrade
    case via

    /// The field of a name, in any case.
    init(name: UnsafeRawBufferPointer) {
        func isName(_ lower: StaticString) -> Bool { Self.isEqual(name, lower) }
        // By the length first: a table would cost every field two counts of references.
        self =
            switch name.count {
            case 2 where isName("te"): .te
            case 3 where isName("via"): .via
            case 4: isName("host") ? .host : isName("date") ? .date : .other
            case 6: isName("accept") ? .accept : isName("server") ? .server : isName("expect") ? .expect : .other
            case 7: isName("trailer") ? .trailer : isName("upgrade") ? .upgrade : .other
            case 10 where isName("connection"): .connection
            case 10 where isName("keep-alive"): .keepAlive
            case 10: isName("set-cookie") ? .setCookie : isName("tracestate") ? .tracestate : .other
            case 11: isName("retry-after") ? .retryAfter : isName("traceparent") ? .traceparent : .other
            case 12: isName("content-type") ? .contentType : isName("x-request-id") ? .requestID : .other
            case 13 where isName("authorization"): .authorization
            case 14 where isName("content-length"): .contentLength
            case 16:
                isName("content-encoding") ? .contentEncoding : isName("proxy-connection") ? .proxyConnection : .other
            case 17 where isName("transfer-encoding"): .transferEncoding
            case 18 where isName("proxy-authenticate"): .proxyAuthenticate
            default: .other
            }
    }

    /// Fields that end with the connection they came by (RFC 9110 §7.6.1), and so are never passed on.
    package var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyAuthenticate, .proxyConnection, .te, .trailer, .transferEncoding, .upgrade:
            true
        default: false
        }
    }

    /// - Parameter lower: the name in lower case.
    private static func isEqual(_ name: UnsafeRawBufferPointer, _ lower: StaticString) -> Bool {
        let expected = lower.utf8Start
        // Of the bytes that a name may hold only capital letters change when this bit is set.
        for index in 0..<name.count where name[index] | 0x20 != expected[index] { return false }
        return true
    }
}
