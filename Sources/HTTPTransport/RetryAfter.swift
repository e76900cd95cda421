import CCurl
import Glibc

/// `Retry-After` in both its forms (RFC 9110 §10.2.3).
enum RetryAfter {
    /// Seconds to wait; `nil` when absent or neither a number nor a date.
    ///
    /// A date is compared with the answer's own `Date` where it has one: the two are by the same clock.
    static func seconds(_ headers: HTTPHeaders, now: Int64 = Int64(time(nil))) -> Int64? {
        guard let value = headers["Retry-After"] else { return nil }
        if let seconds = Int64(value) { return seconds >= 0 ? seconds : nil }
        guard value.contains(":"), let then = date(value) else { return nil }
        return max(0, then - (headers["Date"].flatMap(date) ?? now))
    }

    private static func date(_ text: String) -> Int64? {
        let seconds = curl_getdate(text, nil)
        return seconds >= 0 ? Int64(seconds) : nil
    }
}
