#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A list of files with their digests, stored as `manifest.json` after the files themselves: where it is, they are.
package struct ArtifactManifest: Sendable, Hashable, Codable {
    package static let fileName = "manifest.json"
    /// Written; a reader also takes the one before it.
    package static let currentVersion = 1
    /// Bytes of a manifest that a reader takes; 100,000 entries fit.
    package static let largest = 32 << 20

    /// One file.
    package struct Entry: Sendable, Hashable, Codable {
        /// Relative path with forward slashes; also the rest of the object's key.
        package var name: String
        package var bytes: Int64
        /// In lower-case hexadecimal.
        package var sha256: String

        package init(name: String, bytes: Int64, sha256: String) {
            self.name = name
            self.bytes = bytes
            self.sha256 = sha256
        }
    }

    package var version: Int
    /// Sorted by name.
    package var entries: [Entry]
    /// ISO 8601, UTC. Given by the publisher; left out where equal content must give equal bytes.
    package var createdAt: String?
    /// Facts about the whole: a schema, a licence note, a source.
    package var annotations: [String: String]

    package init(entries: [Entry], createdAt: String? = nil, annotations: [String: String] = [:]) {
        version = Self.currentVersion
        self.entries = entries.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        self.createdAt = createdAt
        self.annotations = annotations
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        version = try container.decode(Int.self, forKey: .version)
        entries = try container.decode([Entry].self, forKey: .entries)
        createdAt = try container.decodeIfPresent(String.self, forKey: .createdAt)
        annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations) ?? [:]
    }

    package subscript(name: String) -> Entry? {
        entries.first { $0.name == name }
    }

    package var totalBytes: Int64 {
        entries.reduce(0) { $0 + $1.bytes }
    }

    /// The bytes to store: the same for equal manifests.
    package func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return Array(try encoder.encode(self))
    }

    /// - Throws: `S3Error` with code `.invalidManifest`, naming the entry that is wrong.
    package static func decode(_ bytes: [UInt8]) throws -> ArtifactManifest {
        let manifest: ArtifactManifest
        do {
            manifest = try JSONDecoder().decode(ArtifactManifest.self, from: Data(bytes))
        } catch {
            throw S3Error(code: .invalidManifest, message: "this is not a manifest: \(error)", cause: error)
        }
        try manifest.validate()
        return manifest
    }

    /// - Throws: `S3Error` with code `.invalidManifest`.
    package func validate() throws {
        func refuse(_ message: String) -> S3Error { S3Error(code: .invalidManifest, message: message) }
        guard (1...Self.currentVersion).contains(version) else {
            throw refuse(
                "the manifest has version \(version); this program reads 1 to \(Self.currentVersion): update it")
        }
        var seen: Set<String> = []
        for entry in entries {
            try ArtifactName.check(entry.name)
            guard seen.insert(entry.name).inserted else { throw refuse("the manifest lists '\(entry.name)' twice") }
            guard entry.bytes >= 0 else { throw refuse("'\(entry.name)' has \(entry.bytes) bytes") }
            guard Hex.isSHA256(entry.sha256) else {
                throw refuse("the digest of '\(entry.name)' is not 64 lower-case hexadecimal digits")
            }
        }
        for name in seen {
            var folder = name
            while let slash = folder.lastIndex(of: "/") {
                folder = String(folder[..<slash])
                guard !seen.contains(folder) else {
                    throw refuse("the manifest lists '\(folder)' as a file and as the folder of '\(name)'")
                }
            }
        }
    }
}
