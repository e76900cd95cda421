#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The instant a request is signed for, in the two spellings that SigV4 uses.
package struct SigningTime: Hashable, Sendable {
    /// `YYYYMMDD'T'HHMMSS'Z'`, the value of `x-amz-date`.
    package let timestamp: String

    /// `YYYYMMDD`, a part of the credential scope.
    package var date: String { String(timestamp.prefix(8)) }

    /// - Parameter secondsSince1970: UTC.
    package init(secondsSince1970: Int64) {
        var seconds = time_t(secondsSince1970)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        timestamp =
            Self.padded(parts.tm_year + 1900, 4) + Self.padded(parts.tm_mon + 1, 2) + Self.padded(parts.tm_mday, 2)
            + "T" + Self.padded(parts.tm_hour, 2) + Self.padded(parts.tm_min, 2) + Self.padded(parts.tm_sec, 2) + "Z"
    }

    private static func padded(_ number: Int32, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
