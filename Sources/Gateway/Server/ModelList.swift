import Pipeline

/// The answers of `/v1/models` and `/v1/models/NAME`.
enum ModelList {
    /// - Parameters:
    ///   - names: all that can be asked for.
    ///   - key: whose list it is; nil without keys.
    static func body(_ names: [String], for key: APIKey?) -> String {
        let entries = names.filter { isAllowed($0, for: key) }.map(entry)
        return "{\"object\":\"list\",\"data\":[\(entries.joined(separator: ","))]}"
    }

    /// One of them; nil where there is none of that name, or not for this key.
    static func body(_ name: String, of names: [String], for key: APIKey?) -> String? {
        names.contains(name) && isAllowed(name, for: key) ? entry(name) : nil
    }

    /// The name in a path such as `/v1/models/security-qa%40challenger`; nil for another path.
    static func name(inPath path: String) -> String? {
        let prefix = "/v1/models/"
        guard path.hasPrefix(prefix), path.utf8.count > prefix.utf8.count else { return nil }
        var bytes: [UInt8] = []
        var rest = path.utf8.dropFirst(prefix.utf8.count)
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let decoded = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
            bytes.append(decoded)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isAllowed(_ name: String, for key: APIKey?) -> Bool {
        guard let key, !key.limits.models.isEmpty else { return true }
        return key.limits.models.contains(String(name.prefix { $0 != "@" && $0 != ":" }))
    }

    private static func entry(_ name: String) -> String {
        "{\"id\":\(JSONValue.string(name).canonicalJSON),\"object\":\"model\",\"created\":0,\"owned_by\":\"martlet\"}"
    }
}
