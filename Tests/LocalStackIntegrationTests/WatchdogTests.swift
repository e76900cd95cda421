import ChildProcess
import Glibc
import LocalStack
import TestServers
import Testing

@Suite(.timeLimit(.minutes(4))) struct WatchdogTests {
    /// A shell that holds the watchdog's pipe, as a test process does, and is then killed without warning.
    @Test func endsServersAndFolderWhenTheirOwnerIsKilled() async throws {
        let folder = "/tmp/martlet-watchdog-\(UInt64.random(in: 0 ... .max))"
        try #require(mkdir(folder, 0o755) == 0)
        let server = try ChildProcess.spawn("sleep", arguments: ["1000"], environment: ProcessEnvironment.minimal())
        let identity = try #require(ProcessIdentity.of(server.pid))
        var variables = ProcessEnvironment.minimal()
        variables["MARTLET_TEST_FOLDER"] = folder
        variables["WATCHDOG"] = Watchdog.script
        let owner = try ChildProcess.spawn(
            "sh",
            arguments: [
                "-c",
                "exec 3>&1; { echo \(identity.pid) \(identity.startTicks); echo up >&3; sleep 1000; } "
                    + "| setsid sh -c 'echo up; exec 3>&-; eval \"$WATCHDOG\"'",
            ], environment: variables, stdout: .pipe)
        var lines = try #require(owner.stdoutLines).makeAsyncIterator()
        // The watchdog runs, and its pipe holds what it is to end.
        #expect(await lines.next()?.text == "up")
        #expect(await lines.next()?.text == "up")
        owner.signalGroup(SIGKILL)
        #expect(await server.wait(atMost: .seconds(20)) == .signalled(SIGKILL))
        server.signal(SIGKILL)
        for _ in 0..<600 where access(folder, F_OK) == 0 {
            try await Task.sleep(for: .milliseconds(50))
        }
        #expect(access(folder, F_OK) != 0)
    }

    @Test func sparesAProcessWithAnotherStartTime() async throws {
        let bystander = try ChildProcess.spawn("sleep", arguments: ["1000"], environment: ProcessEnvironment.minimal())
        let identity = try #require(ProcessIdentity.of(bystander.pid))
        var variables = ProcessEnvironment.minimal()
        variables["MARTLET_TEST_FOLDER"] = "/tmp/martlet-no-such-folder"
        let watchdog = try ChildProcess.spawn(
            "sh", arguments: ["-c", Watchdog.script], environment: variables,
            stdin: .bytes(Array("\(identity.pid) \(identity.startTicks + 1)\n".utf8)))
        #expect(await watchdog.wait(atMost: .seconds(20))?.isSuccess == true)
        #expect(bystander.exitStatus == nil)
        #expect(await bystander.terminate(grace: .seconds(5)) == .signalled(SIGTERM))
    }

    /// As a server that the stack started again after a crash.
    @Test func endsWhatWorksInTheFolderUnannounced() async throws {
        let folder = "/tmp/martlet-watchdog-\(UInt64.random(in: 0 ... .max))"
        try #require(mkdir(folder, 0o755) == 0 && mkdir(folder + "/data", 0o755) == 0)
        let server = try ChildProcess.spawn(
            "sleep", arguments: ["1000"], environment: ProcessEnvironment.minimal(), workingDirectory: folder + "/data")
        var variables = ProcessEnvironment.minimal()
        variables["MARTLET_TEST_FOLDER"] = folder
        let watchdog = try ChildProcess.spawn(
            "sh", arguments: ["-c", Watchdog.script], environment: variables, stdin: .bytes([]))
        #expect(await server.wait(atMost: .seconds(20)) == .signalled(SIGKILL))
        server.signal(SIGKILL)
        #expect(await watchdog.wait(atMost: .seconds(20))?.isSuccess == true)
    }
}
