import Pipeline

/// The answer of `/v1/models`.
enum ModelList {
    /// - Parameters:
    ///   - names: all that can be asked for.
    ///   - key: whose list it is; nil without keys.
    static func body(_ names: [String], for key: APIKey?) -> String {
        let allowed = names.filter { name in
            guard let key, !key.limits.models.isEmpty else { return true }
            let model = name.prefix { $0 != "@" && $0 != ":" }
            return key.limits.models.contains(String(model))
        }
        let entries = allowed.map { name in
            "{\"id\":\(JSONValue.string(name).canonicalJSON),\"object\":\"model\",\"created\":0,\"owned_by\":\"martlet\"}"
        }
        return "{\"object\":\"list\",\"data\":[\(entries.joined(separator: ","))]}"
    }
}
