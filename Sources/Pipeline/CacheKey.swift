/// The text whose SHA-256 is a stage's cache key: equal texts, equal work.
package enum CacheKey {
    /// - Parameters:
    ///   - version: of the stage's code; raised whenever equal inputs may give another output.
    ///   - inputDigests: ``StageOutput/digest`` of every stage that is read, by stage name.
    ///   - parameters: after `${…}` has been filled in.
    package static func text(
        stageKind: String, version: String, inputDigests: [String: String], parameters: JSONValue
    ) -> String {
        JSONValue.object([
            "format": 1,
            "kind": .string(stageKind),
            "version": .string(version),
            "inputs": .object(inputDigests.mapValues(JSONValue.string)),
            "parameters": parameters,
        ]).canonicalJSON
    }
}
