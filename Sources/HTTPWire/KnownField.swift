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
        self = Self.candidates(ofLength: name.count).first { Self.isEqual(name, $0.0) }?.1 ?? .other
    }

    /// Fields that end with the connection they came by (RFC 9110 §7.6.1), and so are never passed on.
    package var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyAuthenticate, .proxyConnection, .te, .trailer, .transferEncoding, .upgrade:
            true
        default: false
        }
    }

    private static func candidates(ofLength length: Int) -> [(StaticString, KnownField)] {
        length < byLength.count ? byLength[length] : []
    }

    private static let byLength: [[(StaticString, KnownField)]] = {
        let all: [(StaticString, KnownField)] = [
            ("accept", .accept), ("authorization", .authorization), ("connection", .connection),
            ("content-encoding", .contentEncoding), ("content-length", .contentLength), ("content-type", .contentType),
            ("date", .date), ("expect", .expect), ("host", .host), ("keep-alive", .keepAlive),
            ("proxy-authenticate", .proxyAuthenticate), ("proxy-connection", .proxyConnection),
            ("x-request-id", .requestID), ("retry-after", .retryAfter), ("server", .server),
            ("set-cookie", .setCookie), ("te", .te), ("traceparent", .traceparent), ("tracestate", .tracestate),
            ("trailer", .trailer), ("transfer-encoding", .transferEncoding), ("upgrade", .upgrade), ("via", .via),
        ]
        var table = [[(StaticString, KnownField)]](repeating: [], count: 24)
        for entry in all { table[entry.0.utf8CodeUnitCount].append(entry) }
        return table
    }()

    /// - Parameter lower: the name in lower case.
    private static func isEqual(_ name: UnsafeRawBufferPointer, _ lower: StaticString) -> Bool {
        let expected = lower.utf8Start
        // Of the bytes that a name may hold only capital letters change when this bit is set.
        for index in 0..<name.count where name[index] | 0x20 != expected[index] { return false }
        return true
    }
}
