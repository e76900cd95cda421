import Glibc
import Testing

@testable import ObjectStorage

@Suite(.timeLimit(.minutes(4))) struct ArtifactStoreTests {
    @Test func publishesAndFetchesADirectory() async throws {
        try await Store.with { store async throws in
            let source = "\(store.folder)/source"
            try DirectoryTree.makeFolders(for: ["a/b/x"], below: source)
            try Store.write(Store.bytes(10), to: "\(source)/one")
            try Store.write(Store.bytes(6 << 20), to: "\(source)/a/b/two ü")
            let artifacts = ArtifactStore(client: store.client, bucket: store.bucket)
            let location = try await artifacts.publish(
                directory: source, prefix: "runs/1", annotations: ["licence": "MIT"])
            #expect(location.key == "runs/1/manifest.json")
            let manifest = try await artifacts.manifest(location)
            #expect(manifest.entries.map(\.name) == ["a/b/two ü", "one"])
            #expect(manifest.annotations == ["licence": "MIT"])
            // Publishing the same again is fine, anything else under that prefix is not.
            #expect(
                try await artifacts.publish(directory: source, prefix: "runs/1", annotations: ["licence": "MIT"])
                    == location)
            try Store.write([1], to: "\(source)/one")
            let other = await #expect(throws: S3Error.self) {
                try await artifacts.publish(directory: source, prefix: "runs/1")
            }
            #expect(other?.code == .preconditionFailed)
        }
    }

    @Test func verifiesEveryFile() async throws {
        try await Store.with { store async throws in
            let source = "\(store.folder)/source"
            try DirectoryTree.makeFolders(for: ["x"], below: source)
            try Store.write(Store.bytes(10), to: "\(source)/one")
            try Store.write(Store.bytes(20), to: "\(source)/two")
            let artifacts = ArtifactStore(client: store.client, bucket: store.bucket)
            let location = try await artifacts.publish(directory: source, prefix: "p")
            let target = "\(store.folder)/target"
            try await artifacts.fetch(location, names: ["two"], into: target)
            #expect(try DirectoryTree.files(below: target) == ["two"])
            try await artifacts.fetch(location, into: target)
            #expect(try Store.read("\(target)/one") == Store.bytes(10))
            // Another object of the same size under the same key, with a digest of its own.
            _ = try await store.client.put(Store.bytes(10, seed: 5), bucket: store.bucket, key: "p/one")
            let replaced = await #expect(throws: S3Error.self) { try await artifacts.fetch(location, into: target) }
            #expect(replaced?.code == .digestMismatch)
            #expect(try Store.read("\(target)/one") == Store.bytes(10))
            let unknown = await #expect(throws: S3Error.self) {
                try await artifacts.fetch(location, names: ["three"], into: target)
            }
            #expect(unknown?.code == .invalidManifest)
            var forged = location
            forged.sha256 = Hex.sha256([0])
            let wrong = await #expect(throws: S3Error.self) { try await artifacts.manifest(forged) }
            #expect(wrong?.code == .digestMismatch)
        }
    }

    @Test func neverWritesOutsideTheDirectory() async throws {
        try await Store.with { store async throws in
            let digest = Hex.sha256([1])
            let artifacts = ArtifactStore(client: store.client, bucket: store.bucket)
            for name in ["../evil", "/tmp/evil", "a/../../evil"] {
                let text = #"{"version":1,"entries":[{"name":"\#(name)","bytes":1,"sha256":"\#(digest)"}]}"#
                let key = "forged/manifest.json"
                _ = try await store.client.put(Array(text.utf8), bucket: store.bucket, key: key)
                let location = ManifestLocation(bucket: store.bucket, key: key, sha256: Hex.sha256(Array(text.utf8)))
                let error = await #expect(throws: S3Error.self) {
                    try await artifacts.fetch(location, into: "\(store.folder)/target")
                }
                #expect(error?.code == .invalidManifest)
            }
            // A symbolic link in the target would lead outside too.
            let source = "\(store.folder)/source"
            try DirectoryTree.makeFolders(for: ["link/x"], below: source)
            try Store.write([1], to: "\(source)/link/x")
            let location = try await artifacts.publish(directory: source, prefix: "linked")
            let target = "\(store.folder)/linked"
            #expect(mkdir(target, 0o700) == 0)
            #expect(symlink("/tmp", "\(target)/link") == 0)
            let error = await #expect(throws: S3Error.self) { try await artifacts.fetch(location, into: target) }
            #expect(error?.code == .localFile)
            unlink("\(target)/link")
        }
    }

    @Test func refusesSymbolicLinksInWhatItPublishes() async throws {
        try await Store.with { store async throws in
            let source = "\(store.folder)/source"
            try DirectoryTree.makeFolders(for: ["x"], below: source)
            #expect(symlink("/etc/passwd", "\(source)/passwd") == 0)
            let artifacts = ArtifactStore(client: store.client, bucket: store.bucket)
            let error = await #expect(throws: S3Error.self) {
                try await artifacts.publish(directory: source, prefix: "p")
            }
            #expect(error?.code == .localFile)
            unlink("\(source)/passwd")
        }
    }
}
