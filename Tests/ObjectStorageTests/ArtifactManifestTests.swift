import Testing

@testable import ObjectStorage

@Suite struct ArtifactManifestTests {
    private let digest = String(repeating: "0a", count: 32)

    @Test func survivesEncoding() throws {
        let manifest = ArtifactManifest(
            entries: [.init(name: "b/ü.txt", bytes: 2, sha256: digest), .init(name: "a", bytes: 0, sha256: digest)],
            createdAt: "2026-11-23T00:00:00Z", annotations: ["licence": "MIT"])
        #expect(manifest.entries.map(\.name) == ["a", "b/ü.txt"])
        let bytes = try manifest.encoded()
        #expect(try ArtifactManifest.decode(bytes) == manifest)
        #expect(try manifest.encoded() == bytes)
    }

    @Test(arguments: [
        "", "/etc/passwd", "../x", "a/../../x", "a/..", ".", "./a", "a//b", "a/", "a\0b", "a\nb", "a\\b",
        "manifest.json", String(repeating: "a", count: 256), String(repeating: "a/", count: 451) + "a",
    ])
    func refusesNamesThatEscape(_ name: String) {
        let manifest = ArtifactManifest(entries: [.init(name: name, bytes: 1, sha256: digest)])
        let error = #expect(throws: S3Error.self) { try manifest.validate() }
        #expect(error?.code == .invalidManifest)
    }

    @Test func refusesContradictions() {
        let twice = ArtifactManifest(entries: [
            .init(name: "a", bytes: 1, sha256: digest), .init(name: "a", bytes: 2, sha256: digest),
        ])
        let both = ArtifactManifest(entries: [
            .init(name: "a/b", bytes: 1, sha256: digest), .init(name: "a", bytes: 2, sha256: digest),
        ])
        let negative = ArtifactManifest(entries: [.init(name: "a", bytes: -1, sha256: digest)])
        let undigested = ArtifactManifest(entries: [.init(name: "a", bytes: 1, sha256: "xyz")])
        for manifest in [twice, both, negative, undigested] {
            #expect(throws: S3Error.self) { try manifest.validate() }
        }
    }

    @Test(arguments: ["", "[]", "{}", #"{"version":2,"entries":[]}"#, #"{"version":0,"entries":[]}"#, "<x/>"])
    func refusesOtherDocuments(_ text: String) {
        let error = #expect(throws: S3Error.self) { try ArtifactManifest.decode(Array(text.utf8)) }
        #expect(error?.code == .invalidManifest)
    }
}
