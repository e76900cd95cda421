import Crypto
import FoundationEssentials
import Pipeline
import WorkerRuntime

/// What this program is.
package enum BuildInfo {
    /// Follows semantic versioning.
    package static let version = "0.1.0"

    /// The version with the digest of this executable, so that no two builds have the same: part of every model's
    /// lineage. Made when first asked for, as reading the executable takes a moment.
    package static let code = version + "+" + (digest(ofFile: "/proc/self/exe") ?? "unknown").prefix(digits)

    /// That, and the digest of the Python sources that a stage runs.
    package static func code(with environment: PythonStage.Environment) throws -> String {
        let folder = environment.packageDirectory + "/martlet_stages"
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".py") }.sorted()
        let lines = try names.map { name in
            guard let digest = digest(ofFile: folder + "/" + name) else {
                throw StageFailure(.retryable, "python.package", "cannot read \(folder)/\(name)")
            }
            return "\(digest)  \(name)\n"
        }
        return code + "." + Digest.sha256(lines.joined()).prefix(digits)
    }

    private static let digits = 12

    private static func digest(ofFile path: String) -> String? {
        guard let bytes = try? Data(contentsOf: URL(filePath: path), options: .mappedIfSafe) else { return nil }
        return Digest.hexadecimal(SHA256.hash(data: bytes))
    }
}
