import ChildProcess
import Glibc

/// The Python environment that holds `weed` and `mlflow`.
struct PythonEnvironment: Sendable {
    let folder: String

    /// Finds it: `MARTLET_SERVICES_ENV`, or the folder in the user's cache that belongs to
    /// `config/python/services.lock`.
    static func resolve(_ options: StackOptions, for server: ServerName) async throws -> PythonEnvironment {
        let variables = ProcessEnvironment.current()
        if let folder = variables["MARTLET_SERVICES_ENV"], !folder.isEmpty {
            return PythonEnvironment(folder: folder)
        }
        let project = try findProject(options, for: server)
        let folder =
            options.buildsPythonEnvironment
            ? try await build(project, for: server) : try await cachedFolder(project, variables, for: server)
        return PythonEnvironment(folder: folder)
    }

    /// The path of one of its programs.
    func executable(_ name: String, for server: ServerName) throws(StackError) -> String {
        let path = "\(folder)/bin/\(name)"
        guard ExecutableLookup.find(path) != nil else {
            throw StackError(
                .missingExecutable, server: server,
                "no '\(path)'; config/python/services.lock lists it: run deploy/python/env.sh services "
                    + "(or set MARTLET_SERVICES_ENV to an environment that has it)")
        }
        return path
    }

    private static func findProject(_ options: StackOptions, for server: ServerName) throws(StackError) -> String {
        let lock = "config/python/services.lock"
        if let folder = options.projectFolder {
            guard FileSystem.exists("\(folder)/\(lock)") else {
                throw StackError(.missingExecutable, server: server, "no '\(lock)' in the project folder '\(folder)'")
            }
            return folder
        }
        let start = try FileSystem.realPath(".")
        var folder = start
        while !FileSystem.exists("\(folder)/\(lock)") {
            guard folder != "/" else {
                throw StackError(
                    .missingExecutable, server: server,
                    "no '\(lock)' in '\(start)' or above; run inside the project or set MARTLET_SERVICES_ENV")
            }
            folder = FileSystem.parent(of: folder)
        }
        return folder
    }

    /// The folder's name holds the digest of the lock file: see `deploy/python/env.sh`.
    private static func cachedFolder(
        _ project: String, _ variables: [String: String], for server: ServerName
    ) async throws -> String {
        let output = try await HelperProgram.run(
            "sha256sum", ["\(project)/config/python/services.lock"], server: server)
        let digest = output.prefix(16)
        let home = variables["HOME"] ?? "/root"
        let cache = variables["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "\(home)/.cache"
        return "\(cache)/martlet/python/services-\(digest)"
    }

    private static func build(_ project: String, for server: ServerName) async throws -> String {
        let output = try await HelperProgram.run(
            "\(project)/deploy/python/env.sh", ["services"], environment: ProcessEnvironment.current(), server: server,
            limit: .seconds(3_600))
        guard let folder = output.split(separator: "\n").last else {
            throw StackError(.preparationFailed, server: server, "deploy/python/env.sh printed no path")
        }
        return String(folder)
    }
}
