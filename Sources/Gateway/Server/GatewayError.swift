import Pipeline

/// An answer of the gateway itself that says why there is no other, in OpenAI's shape.
package struct GatewayError: Error, Equatable, Sendable {
    package let status: Int
    /// OpenAI's class of the error.
    let type: String
    /// A stable word for programs; nil where the class says it all.
    package let code: String?
    /// The member of the request concerned.
    let parameter: String?
    /// What is wrong and what to do.
    package let message: String
    /// After how many seconds it makes sense to ask again.
    var retryAfter: Int?
    /// Methods that the path has, for status 405.
    var allow: String?

    init(_ status: Int, type: String, code: String?, parameter: String? = nil, _ message: String) {
        self.status = status
        self.type = type
        self.code = code
        self.parameter = parameter
        self.message = message
    }
}

extension GatewayError {
    package static func invalid(
        _ status: Int = 400, code: String? = nil, parameter: String? = nil, _ message: String
    ) -> GatewayError {
        GatewayError(status, type: "invalid_request_error", code: code, parameter: parameter, message)
    }

    static func body(_ fault: BodyFault) -> GatewayError {
        .invalid(code: "invalid_body", parameter: fault.parameter, fault.message)
    }

    static let noKey = GatewayError(
        401, type: "authentication_error", code: "missing_api_key",
        "no API key; send one as \"Authorization: Bearer <key>\"")

    static let unknownKey = GatewayError(
        401, type: "authentication_error", code: "invalid_api_key",
        "the API key is unknown, revoked or expired; ask whoever runs this gateway for another")

    static let keysUnknown = GatewayError.unavailable(
        code: "keys_unavailable", retryAfter: 2,
        "this gateway does not know the keys yet: its ledger has not answered since it started")

    /// It has just started, or what tells it of model servers is away: that there is no such model is not known.
    static let noModels = GatewayError.unavailable(
        code: "no_replica", retryAfter: 5, "no model server of this model's champion is known to this gateway yet")

    static func limited(code: String, retryAfter: Int, _ message: String) -> GatewayError {
        var error = GatewayError(429, type: "rate_limit_exceeded", code: code, message)
        error.retryAfter = retryAfter
        return error
    }

    static func unavailable(code: String, retryAfter: Int?, _ message: String) -> GatewayError {
        var error = GatewayError(503, type: "server_error", code: code, message)
        error.retryAfter = retryAfter
        return error
    }

    /// Whether there was no place for the request, or none in time.
    var isLackOfRoom: Bool {
        ["queue_timeout", "queue_full", "queue_full_for_key", "preempted"].contains(code)
    }

    static func upstream(_ status: Int, code: String, _ message: String) -> GatewayError {
        GatewayError(status, type: "server_error", code: code, message)
    }

    /// The body of the answer.
    var body: String {
        let parameter = parameter.map { JSONValue.string($0).canonicalJSON } ?? "null"
        let code = code.map { JSONValue.string($0).canonicalJSON } ?? "null"
        return """
            {"error":{"message":\(JSONValue.string(message).canonicalJSON),"type":"\(type)","param":\(parameter),"code":\(code)}}
            """
    }
}
