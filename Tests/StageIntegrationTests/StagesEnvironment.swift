import ChildProcess
import Foundation
import StageSupport
import Testing

/// The Python environment that workers use, made by `deploy/python/env.sh stages`. Without it tests fail.
enum StagesEnvironment {
    /// The package's folder, three levels above this file.
    static let project: String = {
        let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        return file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    }()

    static let package = project + "/Sources/Stages/Python"

    static func find() async throws -> PythonStage.Environment {
        try await found.value
    }

    // Unstructured, as it outlives the test that asks first.
    private static let found = Task {
        let folder = try await output(
            of: project + "/deploy/python/env.sh", ["stages"], ProcessEnvironment.current())
        return PythonStage.Environment(
            interpreter: folder + "/bin/python", packageDirectory: package, variables: ["OMP_NUM_THREADS": "1"])
    }

    /// Where a package of the environment keeps its data, as `martlet_stages locate` knows it.
    static func locate(_ what: String) async throws -> String {
        try await python(["-m", "martlet_stages", "locate", what])
    }

    @discardableResult
    static func python(_ arguments: [String]) async throws -> String {
        let environment = try await find()
        var variables = ProcessEnvironment.minimal()
        variables["PYTHONPATH"] = package
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        return try await output(of: environment.interpreter, arguments, variables)
    }

    private static func output(
        of program: String, _ arguments: [String], _ variables: [String: String]
    ) async throws -> String {
        let child = try ChildProcess.spawn(
            program, arguments: arguments, environment: variables, stdout: .pipe, stderr: .inherit)
        let lines = try #require(child.stdoutLines)
        var last = ""
        for await line in lines { last = line.text }
        let status = await child.wait()
        try #require(status == .exited(0), "\(program) \(arguments.joined(separator: " ")) ended with \(status)")
        return last
    }
}
