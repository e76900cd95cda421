/// What the paths answer, without HTTP's framing.
struct HealthService: Sendable {
    struct Answer: Sendable {
        let status: Int
        let contentType: String
        let body: [UInt8]
        /// The value of `Allow`, for 405.
        var allow: String?
    }

    private static let json = "application/json"

    let readiness: ReadinessEvaluator
    let metrics: @Sendable () -> String

    func answer(method: String, path: String) async -> Answer {
        guard ["/healthz", "/readyz", "/metrics"].contains(path) else {
            return text(404, "there is no such path; use /healthz, /readyz or /metrics\n")
        }
        guard method == "GET" || method == "HEAD" else {
            var answer = text(405, "only GET and HEAD are allowed\n")
            answer.allow = "GET, HEAD"
            return answer
        }
        switch path {
        case "/metrics":
            return Answer(status: 200, contentType: Exposition.contentType, body: Array(metrics().utf8))
        case "/readyz":
            let report = await readiness.report()
            return Answer(status: report.isReady ? 200 : 503, contentType: Self.json, body: report.json)
        default:
            return Answer(status: 200, contentType: Self.json, body: Array("{\"status\":\"ok\"}\n".utf8))
        }
    }

    private func text(_ status: Int, _ body: String) -> Answer {
        Answer(status: status, contentType: "text/plain; charset=utf-8", body: Array(body.utf8))
    }
}
