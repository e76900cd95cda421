import Configuration
import Crypto
import FoundationEssentials
import Pipeline
import StageSupport
import WorkerRuntime

/// Finds the interpreter of the stages and the folder of their package.
enum PythonEnvironments {
    /// - Throws: ``StageFailure`` that says how to make what is missing.
    static func stages(_ configuration: MartletConfiguration) throws -> PythonStage.Environment {
        let variables = ProcessInfo.processInfo.environment
        let package = try packageDirectory(variables)
        let folder = try configuration.paths.python ?? cachedFolder("stages", package: package, variables)
        let interpreter = folder + "/bin/python"
        guard FileManager.default.isExecutableFile(atPath: interpreter) else {
            throw StageFailure(
                .permanent, "python.missing",
                "there is no \(interpreter): run deploy/python/env.sh stages, or name an environment in MARTLET_PYTHON")
        }
        return PythonStage.Environment(
            interpreter: interpreter, packageDirectory: package, variables: PythonStage.Environment.machine(variables))
    }

    /// The interpreter that has vLLM.
    /// - Throws: ``StageFailure`` that says how to make what is missing.
    static func serving(_ configuration: MartletConfiguration) throws -> String {
        let variables = ProcessInfo.processInfo.environment
        let folder =
            try configuration.serving.python
            ?? cachedFolder("serving", package: try packageDirectory(variables), variables)
        let interpreter = folder + "/bin/python"
        guard FileManager.default.isExecutableFile(atPath: interpreter) else {
            throw StageFailure(
                .permanent, "python.missing",
                "there is no \(interpreter): run deploy/python/env.sh serving, or name an environment in MARTLET_SERVING_PYTHON"
            )
        }
        return interpreter
    }

    /// The package's folder: named by the environment, installed beside the program, or in the project around it.
    private static func packageDirectory(_ variables: [String: String]) throws -> String {
        if let folder = variables["MARTLET_PYTHON_PACKAGE"], !folder.isEmpty { return folder }
        let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        var candidates = [program.appending(path: "../share/martlet/python").standardized.path]
        for start in [program.path, FileManager.default.currentDirectoryPath] {
            var folder = URL(filePath: start)
            while folder.pathComponents.count > 1 {
                candidates.append(folder.appending(path: "Sources/Stages/Python").path)
                folder.deleteLastPathComponent()
            }
        }
        for candidate in candidates
        where FileManager.default.fileExists(atPath: candidate + "/martlet_stages/__main__.py") {
            return candidate
        }
        throw StageFailure(
            .permanent, "python.package",
            "the Python package martlet_stages was not found beside the program or in the project; name its folder in MARTLET_PYTHON_PACKAGE"
        )
    }

    /// The folder that deploy/python/env.sh makes for the lock file.
    private static func cachedFolder(
        _ name: String, package: String, _ variables: [String: String]
    ) throws -> String {
        let lock = URL(filePath: package).appending(path: "../../../config/python/\(name).lock").standardized
        guard let bytes = try? Data(contentsOf: lock) else {
            throw StageFailure(
                .permanent, "python.lock",
                "there is no \(lock.path); name the environment in MARTLET_PYTHON or MARTLET_SERVING_PYTHON")
        }
        let digest = Digest.hexadecimal(SHA256.hash(data: bytes)).prefix(16)
        let home = variables["HOME"] ?? "/root"
        let cache = variables["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? home + "/.cache"
        return "\(cache)/martlet/python/\(name)-\(digest)"
    }
}
