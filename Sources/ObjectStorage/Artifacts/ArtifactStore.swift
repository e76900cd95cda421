/// Publishes and fetches sets of files.
///
/// Files go up in parallel, `manifest.json` last and only if it is new: a prefix whose publisher died holds no
/// manifest, and two publishers of one prefix cannot mix. Every digest is verified on the way back.
package struct ArtifactStore: Sendable {
    /// Files of one set in flight; each may have parts in flight of its own.
    private static let parallelFiles = 4

    package let client: S3Client
    package let bucket: String

    package init(client: S3Client, bucket: String) {
        self.client = client
        self.bucket = bucket
    }

    /// Stores every regular file below a directory. Symbolic links are refused: what they lead to may change or lie
    /// outside.
    package func publish(
        directory: String, prefix: String, createdAt: String? = nil, annotations: [String: String] = [:]
    ) async throws -> ManifestLocation {
        let names = try await onFiles { try DirectoryTree.files(below: directory) }
        let files = names.map { (name: $0, path: "\(directory)/\($0)") }
        return try await publish(files: files, prefix: prefix, createdAt: createdAt, annotations: annotations)
    }

    /// Stores the files under `prefix/name` and the manifest last.
    ///
    /// - Parameter prefix: of this publisher alone, such as `runs/<run>/<stage>/<claim token>`.
    /// - Throws: `S3Error` with code `.preconditionFailed` when another manifest is there already. The same
    ///   manifest is fine: a repeated publication of the same files succeeds.
    package func publish(
        files: [(name: String, path: String)], prefix: String, createdAt: String? = nil,
        annotations: [String: String] = [:]
    ) async throws -> ManifestLocation {
        let base = Self.base(prefix)
        for file in files { try ArtifactName.check(file.name) }
        let entries = try await withThrowingTaskGroup(of: ArtifactManifest.Entry.self) { group in
            var entries: [ArtifactManifest.Entry] = []
            for (index, file) in files.enumerated() {
                if index >= Self.parallelFiles, let entry = try await group.next() { entries.append(entry) }
                group.addTask {
                    let stored = try await client.upload(file: file.path, bucket: bucket, key: base + file.name)
                    return ArtifactManifest.Entry(name: file.name, bytes: stored.size, sha256: stored.sha256)
                }
            }
            for try await entry in group { entries.append(entry) }
            return entries
        }
        return try await seal(
            ArtifactManifest(entries: entries, createdAt: createdAt, annotations: annotations), prefix: prefix)
    }

    /// Stores the manifest of files that are there already.
    package func seal(_ manifest: ArtifactManifest, prefix: String) async throws -> ManifestLocation {
        try manifest.validate()
        let bytes = try manifest.encoded()
        guard bytes.count <= ArtifactManifest.largest else {
            throw S3Error(
                code: .invalidManifest,
                message: "a manifest of \(manifest.entries.count) files is too large; pack them into fewer")
        }
        let location = ManifestLocation(
            bucket: bucket, key: Self.base(prefix) + ArtifactManifest.fileName, sha256: Hex.sha256(bytes))
        do {
            _ = try await client.put(
                bytes, bucket: bucket, key: location.key, contentType: "application/json", ifNoneMatch: true)
        } catch let error as S3Error where error.code == .preconditionFailed {
            guard try await client.head(bucket: bucket, key: location.key)?.sha256 == location.sha256 else {
                var error = error
                error.message = "another manifest was published under this prefix; publish under one of its own"
                throw error
            }
        }
        return location
    }

    /// Reads a manifest and verifies that it is the one that was published.
    package func manifest(_ location: ManifestLocation) async throws -> ArtifactManifest {
        let bytes = try await client.get(
            bucket: location.bucket, key: location.key, expecting: ExpectedContent(sha256: location.sha256),
            upTo: ArtifactManifest.largest)
        do {
            return try ArtifactManifest.decode(bytes)
        } catch let error as S3Error {
            throw error.located(bucket: location.bucket, key: location.key)
        }
    }

    /// Fetches files of a set into a directory, each verified; existing files of those names are replaced.
    ///
    /// - Parameter names: nil for all.
    /// - Returns: the manifest.
    /// - Throws: `S3Error` with code `.invalidManifest` for a name that is not in the manifest or leads outside.
    @discardableResult
    package func fetch(
        _ location: ManifestLocation, names: [String]? = nil, into directory: String,
        progress: TransferProgress? = nil
    ) async throws -> ArtifactManifest {
        let manifest = try await manifest(location)
        let listed = Dictionary(uniqueKeysWithValues: manifest.entries.map { ($0.name, $0) })
        let entries = try (names ?? manifest.entries.map(\.name)).map { name in
            guard let entry = listed[name] else {
                throw S3Error(
                    code: .invalidManifest,
                    message: "the manifest does not list '\(name)'; it lists "
                        + manifest.entries.prefix(20).map(\.name).joined(separator: ", "),
                    bucket: location.bucket, key: location.key)
            }
            return entry
        }
        let report = ProgressReport(total: entries.reduce(0) { $0 + $1.bytes }, progress: progress)
        let base = String(location.key.dropLast(ArtifactManifest.fileName.count))
        try await onFiles { try DirectoryTree.makeFolders(for: entries.map(\.name), below: directory) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, entry) in entries.enumerated() {
                if index >= Self.parallelFiles { try await group.next() }
                group.addTask {
                    try await client.download(
                        bucket: location.bucket, key: base + entry.name, toFile: "\(directory)/\(entry.name)",
                        expecting: ExpectedContent(size: entry.bytes, sha256: entry.sha256))
                    report.add(entry.bytes)
                }
            }
            try await group.waitForAll()
        }
        return manifest
    }

    private func onFiles<Result: Sendable>(_ body: @Sendable () throws -> Result) async throws -> Result {
        do {
            return try await FileThreads.run { try body() }
        } catch {
            throw S3Error.wrap(error, bucket: nil, key: nil)
        }
    }

    private static func base(_ prefix: String) -> String {
        prefix.isEmpty || prefix.hasSuffix("/") ? prefix : prefix + "/"
    }
}
