/// What went wrong with the coordination state, beyond what Redis itself reports.
package struct CoordinationError: Error, CustomStringConvertible {
    package let description: String
    package var isRetryable: Bool { true }

    static func unexpectedReply(script: String, reply: String) -> CoordinationError {
        CoordinationError(description: "the script \(script) answered \(reply.prefix(200)), which it never should")
    }
}
