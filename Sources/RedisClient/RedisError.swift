/// The one error of this library. `description` holds no password and no argument.
package struct RedisError: Error, Sendable, CustomStringConvertible {
    package var code: RedisErrorCode
    /// For an error reply the server's words; else what is wrong and what to do.
    package var message: String
    package var cause: String?

    package init(_ code: RedisErrorCode, _ message: String, cause: String? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// Whether the same call may simply be made again: it had no effect, and the reason passes.
    package var isRetryable: Bool {
        [.notConnected, .queueFull, .unavailable, .readOnly, .outOfMemory, .tooManyClients, .noScript].contains(code)
    }

    /// Whether the reason passes by itself. Includes `outcomeUnknown` and `timedOut`: a caller whose
    /// work is idempotent may repeat it.
    package var isTransient: Bool {
        isRetryable || code == .outcomeUnknown || code == .timedOut
    }

    package var description: String {
        "Redis: \(code): \(message)" + (cause.map { "; cause: \($0)" } ?? "")
    }

    /// Classifies an error reply by its first word.
    package init(reply: String) {
        code =
            switch reply.prefix(while: { $0 != " " }) {
            case "WRONGPASS", "NOAUTH": .authenticationFailed
            case "NOPERM": .permissionDenied
            case "LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS": .unavailable
            case "READONLY", "MISCONF": .readOnly
            case "OOM": .outOfMemory
            case "NOSCRIPT": .noScript
            case "WRONGTYPE": .wrongType
            default: Self.codeOfUnnamed(reply)
            }
        message = reply.redactingEchoedArguments
    }

    private static func codeOfUnnamed(_ reply: String) -> RedisErrorCode {
        if reply.hasPrefix("ERR max number of clients") { return .tooManyClients }
        if reply.hasPrefix("ERR invalid password") || reply.hasPrefix("ERR AUTH ")
            || reply.hasPrefix("ERR Client sent AUTH")
        {
            return .authenticationFailed
        }
        return .server
    }
}

extension String {
    /// "ERR unknown command 'x', with args beginning with: 'secret' …" repeats what was sent.
    fileprivate var redactingEchoedArguments: String {
        let marker = ", with args beginning with:"
        guard hasPrefix("ERR unknown"), let comma = firstIndex(of: ",") else { return self }
        return self[comma...].hasPrefix(marker) ? String(self[..<comma]) : self
    }
}
