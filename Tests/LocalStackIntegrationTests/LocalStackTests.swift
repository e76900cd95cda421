import ChildProcess
import FoundationEssentials
import Glibc
import LocalStack
import Synchronization
import TestServers
import Testing

@Suite(.timeLimit(.minutes(3))) struct LocalStackTests {
    /// Collects progress lines.
    private final class Journal: Sendable {
        private let steps = Mutex<[StackProgress]>([])

        var phases: [StackProgress.Phase] {
            steps.withLock { $0.map(\.phase) }
        }

        func add(_ step: StackProgress) {
            steps.withLock { $0.append(step) }
        }
    }

    private func pid(_ server: ServerName, in stack: LocalStack) async throws -> pid_t? {
        try await stack.status().first { $0.server == server }?.pid
    }

    /// Runs a client program with its secrets in the environment and returns its output.
    private func client(
        _ program: String, _ arguments: [String], _ variables: [String: String] = [:]
    ) async throws -> String {
        let child = try ChildProcess.spawn(
            program, arguments: arguments,
            environment: ProcessEnvironment.minimal().merging(variables, uniquingKeysWith: { $1 }), stdout: .pipe)
        var output: [String] = []
        for await line in try #require(child.stdoutLines) { output.append(line.text) }
        try #require(await child.wait().isSuccess)
        return output.joined(separator: "\n")
    }

    private func redis(_ stack: LocalStack, _ command: String...) async throws -> String {
        // redis-cli takes the empty user of `redis://:password@host` for a name, so it gets the parts.
        let address = try await stack.endpoints().redisURL.split(separator: "@").map { $0.split(separator: ":") }
        let password = try #require(address.first?.last)
        let port = try #require(address.last?.last?.split(separator: "/").first)
        return try await client("redis-cli", ["-p", String(port)] + command, ["REDISCLI_AUTH": String(password)])
    }

    @Test func secondStartReusesWhatRunsAndAnotherInvocationStopsIt() async throws {
        let first = try await TestServers.fresh(.redis, .postgres)
        let redisPID = try #require(try await pid(.redis, in: first))
        let postgresPID = try #require(try await pid(.postgres, in: first))

        // As another invocation of the command line sees it.
        let second = try LocalStack(folder: first.folder, options: .throwaway)
        let journal = Journal()
        let endpoints = try await second.start([.redis, .postgres]) { journal.add($0) }
        #expect(journal.phases == [.alreadyRunning, .alreadyRunning])
        #expect(try await pid(.redis, in: second) == redisPID)
        #expect(try await pid(.postgres, in: second) == postgresPID)
        #expect(try await first.endpoints() == endpoints)

        try await second.stop()
        let states = try await first.status().map(\.state)
        #expect(states.allSatisfy { $0 == .stopped })
        #expect(ProcessIdentity.of(redisPID) == nil && ProcessIdentity.of(postgresPID) == nil)
        try await first.stop()
    }

    @Test func dataPortsAndSecretsSurviveRestartsAndCrashes() async throws {
        let stack = try LocalStack(
            folder: try await TestServers.fresh(.epmd).folder,
            options: StackOptions(durability: .durable, buildsPythonEnvironment: false))
        let before = try await stack.start([.redis, .postgres])
        #expect(try await redis(stack, "SET", "kept", "yes") == "OK")
        let database = try await stack.createDatabase("kept")
        _ = try await client("psql", ["-Xqc", "CREATE TABLE t AS SELECT 42 AS x", database])

        try await stack.restart(.redis)
        try await stack.restart(.postgres)
        #expect(try await stack.endpoints() == before)
        #expect(try await redis(stack, "GET", "kept") == "yes")
        #expect(try await client("psql", ["-XAtc", "SELECT x FROM t", database]) == "42")

        try await stack.signal(.postgres, SIGKILL)
        for await exit in stack.exits {
            #expect(exit.server == .postgres && exit.status == .signalled(SIGKILL))
            break
        }
        try await stack.start([.postgres])
        #expect(try await client("psql", ["-XAtc", "SELECT x FROM t", database]) == "42")
        try await stack.stop()
    }

    @Test func aKilledPostgreSQLStartsAgainWhenItsLastProcessHasGone() async throws {
        let stack = try await TestServers.fresh(.postgres)
        let postmaster = try #require(try await pid(.postgres, in: stack))
        let children = try String(contentsOfFile: "/proc/\(postmaster)/task/\(postmaster)/children", encoding: .utf8)
        let child = try #require(children.split(separator: " ").first.flatMap { pid_t($0) })
        // It cannot see that its server died, and keeps the shared memory, until it goes on.
        #expect(kill(child, SIGSTOP) == 0)
        defer { kill(child, SIGCONT) }
        try await stack.signal(.postgres, SIGKILL)
        for await _ in stack.exits { break }
        let (starting, sink) = AsyncStream.makeStream(of: Void.self)
        async let started = stack.start([.postgres]) { if $0.phase == .starting { sink.finish() } }
        for await _ in starting {}
        try await Task.sleep(for: .milliseconds(500))
        #expect(kill(child, SIGCONT) == 0)
        _ = try await started
        #expect(try await pid(.postgres, in: stack) != postmaster)
        try await stack.stop()
    }

    @Test func rabbitMQRestartsWithItsPortAndLeavesNoEpmd() async throws {
        let stack = try await TestServers.fresh(.rabbitMQ)
        let before = try await stack.endpoints()
        let epmd = try #require(try await pid(.epmd, in: stack))
        let broker = try #require(try await pid(.rabbitMQ, in: stack))
        try await stack.restart(.rabbitMQ)
        #expect(try await stack.endpoints() == before)
        #expect(try await pid(.epmd, in: stack) == epmd)
        #expect(try await pid(.rabbitMQ, in: stack) != broker)
        try await stack.stop()
        #expect(ProcessIdentity.of(epmd) == nil)
    }

    @Test func supervisionStartsACrashedServerAgain() async throws {
        let stack = try await TestServers.fresh(.redis)
        let before = try #require(try await pid(.redis, in: stack))
        let (events, sink) = AsyncStream.makeStream(of: LocalStack.SupervisionEvent.self)
        let supervisor = Task { await stack.supervise { sink.yield($0) } }
        try await stack.signal(.redis, SIGKILL)
        var names: [String] = []
        for await event in events {
            switch event {
            case .ended(let exit, let delay):
                names.append("ended")
                #expect(exit.server == .redis && delay == .milliseconds(500))
            case .restarted(let server):
                names.append("restarted")
                #expect(server == .redis)
            case .restartFailed(_, let error, _): Issue.record(error)
            }
            if names.last == "restarted" { break }
        }
        #expect(names == ["ended", "restarted"])
        #expect(try await pid(.redis, in: stack) != before)
        // A stop that was asked for is not undone.
        try await stack.stop()
        supervisor.cancel()
        await supervisor.value
        #expect(try await pid(.redis, in: stack) == nil)
    }

    @Test func anInterruptedFirstStartOfPostgreSQLDoesNotSpoilTheNext() async throws {
        let stack = try await TestServers.fresh(.epmd)
        let start = Task { try await stack.start([.postgres]) }
        let folder = stack.folder + "/postgresql"
        // initdb writes this file first; seconds of work follow.
        while access(folder + "/data.new/PG_VERSION", F_OK) != 0, access(folder + "/data/PG_VERSION", F_OK) != 0 {
            try await Task.sleep(for: .milliseconds(2))
        }
        start.cancel()
        _ = await start.result
        try await stack.start([.postgres])
        let database = try await stack.createDatabase("whole")
        #expect(try await client("psql", ["-XAtc", "SELECT 1", database]) == "1")
        try await stack.stop()
    }

    @Test(.enabled(if: geteuid() == 0, "only root lends PostgreSQL another user"))
    func aNewStackAtAnOldPathThatPostgreSQLCannotReachHasDataOfItsOwn() async throws {
        let parent = try await TestServers.fresh(.epmd).folder + "/private"
        try #require(mkdir(parent, 0o700) == 0)
        var places: Set<String> = []
        for _ in 0..<2 {
            let stack = try LocalStack(folder: parent + "/stack", options: .throwaway)
            try await stack.start([.postgres])
            try await stack.restart(.postgres)
            let place = try await client("readlink", [stack.folder + "/postgresql/data"])
            #expect(place.hasPrefix("/var/tmp/martlet-"))
            places.insert(place)
            try await stack.stop()
            _ = try await client("rm", ["-rf", stack.folder])
        }
        #expect(places.count == 2)
        for place in places {
            _ = try await client("rm", ["-rf", String(place.dropLast("/data".count))])
        }
    }

    @Test func othersMayPassThroughADataFolder() async throws {
        let folder = try await TestServers.fresh(.epmd).folder + "/new/state"
        try LocalStack.makeFolder(folder)
        var status = stat()
        try #require(stat(folder, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o711)
    }

    @Test func concurrentStartsMakeOneServer() async throws {
        let folder = try await TestServers.fresh(.epmd).folder
        let stacks = try (0..<4).map { _ in try LocalStack(folder: folder, options: .throwaway) }
        let journal = Journal()
        try await withThrowingTaskGroup { group in
            for stack in stacks {
                group.addTask { try await stack.start([.redis]) { journal.add($0) } }
            }
            try await group.waitForAll()
        }
        #expect(journal.phases.count { $0 == .ready } == 1)
        #expect(journal.phases.count { $0 == .alreadyRunning } == 3)
        try await stacks[0].stop()
    }

    @Test func aTakenPortIsReplacedAndTheRecordOfADeadProcessIgnored() async throws {
        let stack = try await TestServers.fresh(.redis)
        let before = try await stack.endpoints()
        try await stack.signal(.redis, SIGKILL)
        for await _ in stack.exits { break }
        let port = try #require(try await stack.status().first { $0.server == .redis }?.port)
        let squatter = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(squatter) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(squatter, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(bound == 0 && listen(squatter, 1) == 0)
        let journal = Journal()
        let after = try await stack.start([.redis]) { journal.add($0) }
        #expect(after.redisURL != before.redisURL)
        #expect(journal.phases.contains { if case .notice = $0 { true } else { false } })
        try await stack.stop()
    }

    @Test func secretsAreInNoArgumentAndNoOpenFile() async throws {
        let stack = try await TestServers.fresh(.redis, .postgres)
        let endpoints = try await stack.endpoints()
        let secrets = [endpoints.redisURL, endpoints.postgresURL].compactMap { url in
            url.split(separator: "@").first?.split(separator: ":").last.map(String.init)
        }
        try #require(secrets.count == 2 && secrets.allSatisfy { $0.count == 32 })
        let arguments = try await client("sh", ["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"])
        #expect(secrets.allSatisfy { !arguments.contains($0) })
        let readable = try await client(
            "sh", ["-c", "find \"$FOLDER\" -type f -perm /077 -exec grep -lE \"$SECRETS\" {} + ; true"],
            ["FOLDER": stack.folder, "SECRETS": secrets.joined(separator: "|")])
        #expect(readable.isEmpty)
        #expect(!endpoints.description.contains(secrets[0]) && !endpoints.description.contains(secrets[1]))
        try await stack.stop()
    }
}
