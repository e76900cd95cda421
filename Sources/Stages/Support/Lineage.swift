package import Pipeline

/// The tags on a registered model version that say where it comes from.
package enum Lineage {
    package static let championAlias = "champion"
    package static let challengerAlias = "challenger"

    package static let run = "martlet.run_id"
    package static let pipeline = "martlet.pipeline"
    package static let datasetDigest = "martlet.dataset_digest"
    package static let baseModel = "martlet.base_model"
    package static let baseModelDigest = "martlet.base_model_digest"
    package static let codeVersion = "martlet.code_version"
    package static let modelDigest = "martlet.model_digest"
    package static let artifactsBucket = "martlet.artifacts_bucket"
    package static let artifactsKey = "martlet.artifacts_key"
    package static let artifactsSHA256 = "martlet.artifacts_sha256"
    /// Followed by the metric's name.
    package static let metricPrefix = "martlet.metric."

    package static func tags(of artifacts: ManifestReference) -> [String: String] {
        [artifactsBucket: artifacts.bucket, artifactsKey: artifacts.key, artifactsSHA256: artifacts.sha256]
    }

    /// The files of a version; nil for one that Martlet did not register.
    package static func artifacts(of tags: [String: String]) -> ManifestReference? {
        guard let bucket = tags[artifactsBucket], let key = tags[artifactsKey], let sha256 = tags[artifactsSHA256]
        else { return nil }
        return ManifestReference(bucket: bucket, key: key, sha256: sha256)
    }
}
