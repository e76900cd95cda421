/// Names a published manifest, and through it every file of an output, by digest.
package struct ManifestReference: Hashable, Sendable, Codable {
    package var bucket: String
    /// The key of `manifest.json`.
    package var key: String
    /// SHA-256 of the manifest's bytes, in lower-case hexadecimal.
    package var sha256: String

    package init(bucket: String, key: String, sha256: String) {
        self.bucket = bucket
        self.key = key
        self.sha256 = sha256
    }
}

/// What a stage leaves behind: small values in the ledger, files in the object store.
package struct StageOutput: Hashable, Sendable, Codable {
    /// The files, if there are any.
    package var artifacts: ManifestReference?
    /// Counts, metrics, digests: at most 64 KiB of JSON; larger things are files.
    package var values: JSONValue
    /// Equal digests mean equal outputs; a part of the cache keys of the stages that read this one.
    /// SHA-256 in hexadecimal.
    package var digest: String?
    /// The run whose work this is, when it was taken from the cache.
    package var cachedFrom: String?

    package init(
        artifacts: ManifestReference? = nil, values: JSONValue = .object([:]), digest: String? = nil,
        cachedFrom: String? = nil
    ) {
        self.artifacts = artifacts
        self.values = values
        self.digest = digest
        self.cachedFrom = cachedFrom
    }
}
