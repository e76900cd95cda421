import ChildProcess
import Foundation
import Glibc
import Testing

@Suite(.timeLimit(.minutes(4))) struct InterruptionTests {
    @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
    func anInterruptedImportLeavesNothing(signal: Int32) async throws {
        let folder = try TestFolders.make()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let state = folder + "/state"
        for name in ["/python/bin", "/state/import-of-a-killed-process", "/pipelines"] {
            try FileManager.default.createDirectory(atPath: folder + name, withIntermediateDirectories: true)
        }
        // In the place of Python: says that it is there, and goes on for ever.
        let program = "#!/bin/sh\n: > \"$PWD/started\"\nexec sleep 1000\n"
        try Data(program.utf8).write(to: URL(filePath: folder + "/python/bin/python"))
        try #require(chmod(folder + "/python/bin/python", 0o755) == 0)
        try Data("log: {level: info}\n".utf8).write(to: URL(filePath: folder + "/martlet.yaml"))
        var environment = ProcessEnvironment.minimal()
        environment.merge([
            "MARTLET_CONFIG": folder + "/martlet.yaml", "MARTLET_PIPELINES": folder + "/pipelines",
            "MARTLET_STATE": state, "MARTLET_PYTHON": folder + "/python", "MARTLET_PYTHON_PACKAGE": folder,
            // Nothing is sent there before the import is done.
            "MARTLET_S3_ENDPOINT": "http://127.0.0.1:9", "MARTLET_S3_ACCESS_KEY_ID": "nobody",
            "MARTLET_S3_SECRET_ACCESS_KEY": "nothing",
        ]) { $1 }
        let child = try ChildProcess.spawn(
            Fleet.program, arguments: ["model", "import", "x", "--gguf", "/dev/null"], environment: environment,
            stderr: .file(folder + "/log"))
        func left() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: state).filter { $0.hasPrefix("import-") }
        }
        _ = try await eventually("the import is at work") {
            if let status = child.exitStatus {
                throw Unexpected("\(status): \(try String(contentsOfFile: folder + "/log", encoding: .utf8))")
            }
            return try left().contains { access("\(state)/\($0)/started", F_OK) == 0 } ? true : nil
        }
        #expect(try left().count == 1)
        child.signal(signal)
        #expect(await child.wait(atMost: .seconds(60)) == .exited(1))
        #expect(try left().isEmpty)
        await child.terminate(grace: .zero)
    }
}
