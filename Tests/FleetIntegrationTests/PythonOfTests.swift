import ChildProcess
import Foundation

/// The Python environment with a plain AMQP client, made once from `config/python/tests.lock`.
actor PythonOfTests {
    static let shared = PythonOfTests()

    private var found: String?

    func interpreter() async throws -> String {
        if let found { return found }
        // Three levels above this file, through symbolic links.
        let file = URL(filePath: #filePath).resolvingSymlinksInPath()
        let project = file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let child = try ChildProcess.spawn(
            project.appending(path: "deploy/python/env.sh").path, arguments: ["tests"],
            environment: ProcessEnvironment.current(), stdout: .pipe, stderr: .inherit)
        var path = ""
        if let lines = child.stdoutLines { for await line in lines { path = line.text } }
        guard await child.wait().isSuccess else {
            throw Unexpected("deploy/python/env.sh tests failed; what it said is above")
        }
        found = path + "/bin/python"
        return path + "/bin/python"
    }
}
