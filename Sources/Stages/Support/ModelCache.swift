import FoundationEssentials
import Glibc
package import ObjectStorage
package import Pipeline
import WorkerRuntime

/// Files of manifests on this machine's disk, by the manifest's digest, so that stages on one machine fetch a base
/// model once. Every file was verified when it came.
package struct ModelCache: Sendable {
    private let directory: String
    private let storage: S3Client

    /// - Parameter directory: shared by the workers of a machine.
    package init(directory: String, storage: S3Client) {
        self.directory = directory
        self.storage = storage
    }

    /// The folder that holds the files of `reference`, fetched if need be.
    /// - Parameter below: only the files under this folder of the manifest, such as `merged/`; the result then ends with it.
    package func folder(for reference: ManifestReference, below: String? = nil) async throws -> String {
        let name = reference.sha256 + (below.map { "-" + $0.filter { $0 != "/" } } ?? "")
        let target = directory + "/" + name
        let inside = target + (below.map { "/" + $0 } ?? "")
        if FileManager.default.fileExists(atPath: target) {
            // The newest use counts when room is made.
            utimes(target, nil)
            return inside
        }
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        // Held, so that what a killed worker leaves can be swept.
        let hold = try HeldFolder(".fetching-" + UUID().uuidString, in: directory)
        let staging = hold.path
        do {
            let store = ArtifactStore(client: storage, bucket: reference.bucket)
            let names = try await store.manifest(reference.location).entries.map(\.name)
            try await store.fetch(
                reference.location, names: below.map { prefix in names.filter { $0.hasPrefix(prefix + "/") } } ?? names,
                into: staging)
            // The first of several fetchers wins; the others throw their copies away.
            if rename(staging, target) != 0, !FileManager.default.fileExists(atPath: target) {
                throw StageFailure(
                    .retryable, "model.cache", "cannot keep \(target): \(String(cString: strerror(errno)))")
            }
        } catch {
            try? FileManager.default.removeItem(atPath: staging)
            throw error
        }
        if FileManager.default.fileExists(atPath: staging) { try FileManager.default.removeItem(atPath: staging) }
        withExtendedLifetime(hold) {}
        makeRoom()
        return inside
    }

    /// Removes what was not used for longest, beyond a few models.
    private func makeRoom(keeping count: Int = 6) {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else { return }
        let dated = names.filter { !$0.hasPrefix(".") }.map { name -> (String, Int) in
            var status = stat()
            let path = directory + "/" + name
            return (path, stat(path, &status) == 0 ? Int(status.st_mtim.tv_sec) : 0)
        }
        for (path, time) in dated.sorted(by: { $0.1 > $1.1 }).dropFirst(count) where Int(Glibc.time(nil)) - time > 3_600
        {
            // Not in use: a stage of an hour ago has its files open or is done. A failure only costs room.
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}
