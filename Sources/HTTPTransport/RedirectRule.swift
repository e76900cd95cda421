/// What a redirect makes of a request (RFC 9110 §15.4). Pure.
enum RedirectRule {
    /// Fields that say nothing about who asks; every other one stays with the origin it was meant for.
    private static let harmless: Set<String> = [
        "accept", "accept-encoding", "accept-language", "content-type", "content-language", "if-match",
        "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range", "user-agent",
    ]
    private static let aboutTheBody: Set<String> = [
        "content-type", "content-language", "content-encoding", "content-md5",
    ]

    static func next(_ request: HTTPRequest, from: CurlURL, to: CurlURL, status: Int) -> HTTPRequest {
        var next = request
        next.url = to.whole
        let dropsBody = status == 303 && request.method != "HEAD" || status < 303 && request.method == "POST"
        if dropsBody && request.method != "GET" {
            next.method = "GET"
            next.body = .none
            next.headers.removeAll { aboutTheBody.contains($0.name.lowercased()) }
        }
        if from.origin != to.origin {
            next.headers.removeAll { !harmless.contains($0.name.lowercased()) }
        }
        return next
    }
}
