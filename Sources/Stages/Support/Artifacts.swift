import Crypto
package import ObjectStorage
package import Pipeline
package import WorkerRuntime

extension StageContext {
    package var artifacts: ArtifactStore { ArtifactStore(client: storage, bucket: bucket) }

    /// Publishes the files of a directory as this attempt's output.
    package func publish(directory: String, annotations: [String: String] = [:]) async throws -> ManifestReference {
        let location = try await artifacts.publish(
            directory: directory, prefix: outputPrefix, annotations: annotations)
        return ManifestReference(bucket: location.bucket, key: location.key, sha256: location.sha256)
    }

    /// Fetches files of an output, each verified against its digest.
    @discardableResult
    package func fetch(
        _ output: StageOutput, names: [String]? = nil, into directory: String
    ) async throws -> ArtifactManifest {
        guard let reference = output.artifacts else {
            throw StageFailure(.permanent, "stage.no_files", "an input of stage \(payload.stage) has no files")
        }
        return try await artifacts.fetch(reference.location, names: names, into: directory)
    }
}

extension ArtifactStore {
    /// The manifest under a prefix; nil when nothing was published there.
    package func published(under prefix: String) async throws -> ManifestLocation? {
        let key = prefix + ArtifactManifest.fileName
        guard try await client.head(bucket: bucket, key: key) != nil else { return nil }
        let bytes = try await client.get(bucket: bucket, key: key, upTo: ArtifactManifest.largest)
        return ManifestLocation(bucket: bucket, key: key, sha256: Digest.hexadecimal(SHA256.hash(data: bytes)))
    }
}

extension ManifestReference {
    package var location: ManifestLocation { ManifestLocation(bucket: bucket, key: key, sha256: sha256) }
}

extension ArtifactManifest {
    /// One digest for the content, whenever and by whom it was published: SHA-256 over the sorted names and digests.
    package var contentDigest: String {
        Digest.sha256(entries.map { "\($0.sha256)  \($0.name)\n" }.joined())
    }
}
