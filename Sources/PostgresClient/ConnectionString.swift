import CPostgres

/// libpq's own parser for URLs and keyword strings, with errors that show no secret.
enum ConnectionString {
    static func parse(_ text: String) throws -> [String: String] {
        guard !text.isEmpty else {
            throw PostgresError(
                .invalidConfiguration, "the connection URL is empty; give postgres://user:password@host:port/database")
        }
        var message: UnsafeMutablePointer<CChar>?
        guard let list = PQconninfoParse(text, &message) else {
            defer { PQfreemem(message) }
            let reason = message.map { String(cString: $0) } ?? "out of memory"
            throw PostgresError(.invalidConfiguration, "the connection URL cannot be read: \(redacted(reason))")
        }
        defer { PQconninfoFree(list) }
        var options: [String: String] = [:]
        var item = list
        while let keyword = item.pointee.keyword {
            if let value = item.pointee.val { options[String(cString: keyword)] = String(cString: value) }
            item += 1
        }
        try check(options)
        return options
    }

    private static func check(_ options: [String: String]) throws {
        if let mode = options["sslmode"] {
            let modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
            guard modes.contains(mode) else {
                throw PostgresError(
                    .invalidConfiguration, "sslmode=\(mode) is unknown; use one of \(modes.joined(separator: ", "))")
            }
        }
        for port in (options["port"] ?? "").split(separator: ",") {
            guard let number = Int(port), (1...65_535).contains(number) else {
                throw PostgresError(.invalidConfiguration, "port \(port) is not a number from 1 to 65535")
            }
        }
    }

    /// libpq quotes parts of its input, which may be the password; an option's name is kept.
    private static func redacted(_ message: String) -> String {
        let trimmed = message.split(separator: "\n").first.map(String.init) ?? ""
        if trimmed.hasPrefix("invalid connection option") || trimmed.hasPrefix("invalid URI query parameter") {
            return trimmed
        }
        var result = ""
        for (index, part) in trimmed.split(separator: "\"", omittingEmptySubsequences: false).enumerated() {
            result += index.isMultiple(of: 2) ? String(part) : "\"…\""
        }
        return result
    }
}
