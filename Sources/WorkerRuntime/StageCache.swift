import Crypto
import FoundationEssentials
import Logging
import ObjectStorage
import Pipeline

/// Outputs of earlier attempts, by what they were made from.
///
/// An entry is one small object, `cache/<kind>/<key>.json`, written once the stage's files are in place. It counts
/// only while the manifest that it names is still there.
struct StageCache: Sendable {
    struct Entry: Codable {
        var output: StageOutput
        var run: RunID
        var createdAt: Timestamp
    }

    let storage: S3Client
    let bucket: String

    /// SHA-256 of ``CacheKey/text(stageKind:version:inputDigests:parameters:)``; nil when an input has no digest.
    func key(for payload: TaskPayload, version: String, validator: JSONValue) -> String? {
        var digests: [String: String] = [:]
        for (stage, output) in payload.inputs {
            guard let digest = output.digest else { return nil }
            digests[stage] = digest
        }
        let text = CacheKey.text(
            stageKind: payload.kind, version: version, inputDigests: digests,
            parameters: .object(["parameters": payload.parameters, "validator": validator]))
        return SHA256.hash(data: Data(text.utf8)).hexadecimal
    }

    func find(kind: String, key: String) async throws -> Entry? {
        guard try await storage.head(bucket: bucket, key: object(kind, key)) != nil else { return nil }
        let bytes = try await storage.get(bucket: bucket, key: object(kind, key), upTo: 1 << 20)
        // An entry of another version of this program, or a broken one, is none.
        guard let entry = try? JSONDecoder().decode(Entry.self, from: Data(bytes)) else { return nil }
        if let manifest = entry.output.artifacts {
            guard try await storage.head(bucket: manifest.bucket, key: manifest.key) != nil else { return nil }
        }
        return entry
    }

    func store(_ output: StageOutput, kind: String, key: String, run: RunID) async throws {
        let entry = Entry(output: output, run: run, createdAt: .now)
        let bytes = Array(try JSONEncoder().encode(entry))
        _ = try await storage.put(bytes, bucket: bucket, key: object(kind, key), contentType: "application/json")
    }

    private func object(_ kind: String, _ key: String) -> String { "cache/\(kind)/\(key).json" }
}

extension Sequence<UInt8> {
    /// Lower-case hexadecimal.
    var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in self {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
