/// `Retry-After` in its form of seconds (RFC 9110 §10.2.3).
enum RetryAfter {
    /// Whole seconds; `nil` when absent or a date, which would need the server's clock to agree with ours.
    static func seconds(_ headers: HTTPHeaders) -> Int64? {
        headers["Retry-After"].flatMap(Int64.init).flatMap { $0 >= 0 ? $0 : nil }
    }
}
