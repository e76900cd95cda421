package import Ledger
package import ObjectStorage
import Pipeline
import StageSupport

/// Questions that a version was not trained on, with the answers that are right.
package struct HeldOutPrompts: Sendable {
    package struct Example: Hashable, Sendable {
        package let system: String?
        package let question: String
        package let answer: String

        package init(system: String?, question: String, answer: String) {
            self.system = system
            self.question = question
            self.answer = answer
        }
    }

    private let ledger: Ledger
    private let storage: S3Client

    private static let fileLimit = 256 << 20
    /// Characters of question and answer together: a probe must fit into any context.
    private static let lengthLimit = 3_000

    package init(ledger: Ledger, storage: S3Client) {
        self.ledger = ledger
        self.storage = storage
    }

    /// Those of the run that trained a version, the same ones every time.
    /// - Parameters:
    ///   - tags: the version's in the registry.
    ///   - count: at most.
    /// - Returns: none for a version whose run left no such file.
    package func examples(of tags: [String: String], count: Int) async throws -> [Example] {
        guard let id = tags[Lineage.run] else { return [] }
        let run: RunRecord
        do { run = try await ledger.run(RunID(id)) } catch let error as LedgerError where error.code == .notFound {
            return []
        }
        for output in run.tasks.compactMap(\.output) {
            guard let (name, system) = Self.file(of: output), let files = output.artifacts else { continue }
            let location = ManifestLocation(bucket: files.bucket, key: files.key, sha256: files.sha256)
            let manifest = try await ArtifactStore(client: storage, bucket: files.bucket).manifest(location)
            guard let entry = manifest.entries.first(where: { $0.name == name }) else { continue }
            let folder = files.key.split(separator: "/").dropLast().joined(separator: "/")
            let bytes = try await storage.get(
                bucket: files.bucket, key: "\(folder)/\(name)",
                expecting: ExpectedContent(size: entry.bytes, sha256: entry.sha256), upTo: Self.fileLimit)
            return try Self.choose(bytes, system: system, count: count)
        }
        return []
    }

    /// Where a preprocess stage says that it put them, and what it put before each question; nil for another output.
    static func file(of output: StageOutput) -> (name: String, system: String?)? {
        guard output.values["type"]?.stringValue == OutputType.tokens.rawValue,
            let told = output.values["report"], let name = told["eval_jsonl"]?.stringValue
        else { return nil }
        return (name, told["report"]?["parameters"]?["system_prompt"]?.stringValue)
    }

    /// Spread evenly over the file: neighbours in it may be alike.
    static func choose(_ bytes: [UInt8], system: String?, count: Int) throws -> [Example] {
        let all = try bytes.split(separator: UInt8(ascii: "\n")).compactMap { line -> Example? in
            let row = try JSONValue(json: Array(line))
            guard let question = row["question"]?.stringValue, let answer = row["answer"]?.stringValue,
                !answer.isEmpty, question.utf8.count + answer.utf8.count <= lengthLimit
            else { return nil }
            return Example(system: system, question: question, answer: answer)
        }
        guard all.count > count, count > 0 else { return count > 0 ? all : [] }
        return (0..<count).map { all[$0 * all.count / count] }
    }
}
