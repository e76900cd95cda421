import Glibc
import Testing

@testable import ChildProcess

@Suite(.timeLimit(.minutes(4))) struct ChildProcessTests {
    private func shell(_ script: String, stdin: InputSource = .null, lineLimit: Int = 1 << 20) throws -> ChildProcess {
        try ChildProcess.spawn(
            "/bin/sh", arguments: ["-c", script], environment: ProcessEnvironment.minimal(), stdin: stdin,
            stdout: .pipe, stderr: .pipe, lineLimit: lineLimit)
    }

    private func output(_ child: ChildProcess) async throws -> [String] {
        let lines = try #require(child.stdoutLines)
        var result: [String] = []
        for await line in lines { result.append(line.text) }
        return result
    }

    @Test func reportsExitCodesAndSignals() async throws {
        #expect(await (try shell("exit 0")).wait() == .exited(0))
        #expect(await (try shell("exit 7")).wait() == .exited(7))
        #expect(await (try shell("kill -TERM $$")).wait() == .signalled(SIGTERM))
        #expect(ExitStatus.signalled(SIGKILL).description == "signal 9 (SIGKILL)")
        #expect(ExitStatus.signalled(SIGKILL).shellCode == 137)
    }

    @Test func passesInputOfAnySize() async throws {
        let bytes = [UInt8](repeating: UInt8(ascii: "x"), count: 3_000_000)
        let child = try shell("cat | wc -c; cat | wc -c", stdin: .bytes(bytes))
        #expect(try await output(child) == ["3000000", "0"])
    }

    @Test func givesTheChildNothingButItsThreeStreams() async throws {
        let extra = open("/dev/null", O_RDONLY)
        defer { close(extra) }
        // ls itself opens the folder as descriptor 3.
        let child = try shell("exec ls /proc/self/fd")
        #expect(try await output(child) == ["0", "1", "2", "3"])
    }

    @Test func startsWithDefaultSignalsInItsOwnSession() async throws {
        let old = signal(SIGPIPE, SIG_IGN)
        defer { signal(SIGPIPE, old) }
        let child = try shell("cat /proc/$$/status | grep SigIgn; cut -d' ' -f5,6 /proc/$$/stat; echo $$")
        let lines = try await output(child)
        // glibc itself leaves 32 and 33, which threads use internally, ignored.
        #expect(lines.first == "SigIgn:\t0000000180000000" || lines.first == "SigIgn:\t0000000000000000")
        #expect(lines.dropFirst().first == "\(child.pid) \(child.pid)")
    }

    @Test func namesAMissingExecutable() throws {
        let error = #expect(throws: ChildProcessError.self) {
            try ChildProcess.spawn("martlet-no-such-program", environment: [:])
        }
        #expect(error?.code == .executableNotFound)
        #expect(error?.description.contains("martlet-no-such-program") == true)
    }

    @Test func namesAFileThatCannotBeOpened() throws {
        let error = #expect(throws: ChildProcessError.self) {
            try ChildProcess.spawn("/bin/true", environment: [:], stdout: .file("/no/such/folder/log"))
        }
        #expect(error?.code == .redirectionFailed)
        #expect(error?.description.contains("/no/such/folder/log") == true)
    }

    @Test func appliesBackpressure() async throws {
        // Far more than the queue and the pipe hold together: the child has to wait for the reader.
        let child = try shell("i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done")
        let lines = try await output(child)
        #expect(lines.count == 20_000)
        #expect(lines.last == "line-19999")
        #expect(await child.wait() == .exited(0))
    }

    @Test func boundsLines() async throws {
        let child = try shell("head -c 5000000 /dev/zero | tr '\\0' 'a'; echo; echo short", lineLimit: 1_000)
        let lines = try #require(child.stdoutLines)
        var iterator = lines.makeAsyncIterator()
        let long = try #require(await iterator.next())
        #expect(long.isTruncated && long.text.utf8.count == 1_000)
        #expect(await iterator.next() == OutputLine(text: "short", isTruncated: false))
        #expect(await iterator.next() == nil)
    }

    @Test func cancelledReaderNeitherHangsNorBlocksTheChild() async throws {
        let child = try shell("echo ready; read line; head -c 1000000 /dev/zero", stdin: .null)
        let lines = try #require(child.stdoutLines)
        let reader = Task {
            var count = 0
            for await _ in lines { count += 1 }
            return count
        }
        reader.cancel()
        _ = await reader.value
        #expect(await child.wait() == .exited(0))
    }

    @Test func terminateKillsTheWholeGroupAfterTheGrace() async throws {
        let child = try shell(
            "trap '' TERM; sh -c \"trap '' TERM; echo \\$\\$; while :; do sleep 1; done\" & wait; wait")
        let lines = try #require(child.stdoutLines)
        var iterator = lines.makeAsyncIterator()
        let grandchild = try #require(await iterator.next().flatMap { Int32($0.text) })
        #expect(kill(grandchild, 0) == 0)
        let begin = ContinuousClock.now
        #expect(await child.terminate(grace: .milliseconds(200)) == .signalled(SIGKILL))
        #expect(ContinuousClock.now - begin >= .milliseconds(200))
        // The pipe's last holder is gone, so the stream ends.
        while await iterator.next() != nil {}
        #expect(isGone(grandchild))
    }

    @Test func sweepsTheGroupWhenTheLeaderEnds() async throws {
        let child = try shell("sleep 1000 & echo $!; exit 3")
        let grandchild = try #require(try await output(child).first.flatMap { Int32($0) })
        #expect(await child.wait() == .exited(3))
        #expect(isGone(grandchild))
    }

    @Test func streamEndsAlthoughAnEscapedDescendantHoldsThePipe() async throws {
        let child = try shell("setsid sleep 30 & echo $!; exit 0")
        let escaped = try #require(try await output(child).first.flatMap { Int32($0) })
        kill(escaped, SIGKILL)
    }

    @Test func limitedWaitGivesUpAndLaterSucceeds() async throws {
        let child = try shell("read line", stdin: .null)
        #expect(await child.wait() == .exited(1))
        let sleeper = try shell("sleep 1000")
        #expect(await sleeper.wait(atMost: .milliseconds(50)) == nil)
        #expect(await sleeper.terminate(grace: .seconds(5)) == .signalled(SIGTERM))
        #expect(sleeper.signal(SIGTERM) == false)
    }

    @Test func manyAtOnce() async throws {
        try await withThrowingTaskGroup(of: Int32.self) { group in
            for number in 0..<64 {
                group.addTask { await (try shell("exit \(number)")).wait().shellCode }
            }
            var codes: Set<Int32> = []
            for try await status in group { codes.insert(status) }
            #expect(codes.count == 64)
        }
    }

    /// Gone, or a zombie that nobody has reaped yet.
    private func isGone(_ pid: pid_t) -> Bool {
        for _ in 0..<200 {
            if kill(pid, 0) != 0 { return true }
            guard let file = fopen("/proc/\(pid)/stat", "r") else { return true }
            defer { fclose(file) }
            var buffer = [CChar](repeating: 0, count: 512)
            fgets(&buffer, 512, file)
            let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.contains(") Z ") || text.contains(") X ") { return true }
            usleep(10_000)
        }
        return false
    }

    @Test func aLifelineEndsForEveryChildWithItsOwner() async throws {
        var lifeline: Lifeline? = try Lifeline()
        let input = try #require(lifeline?.input)
        let children = try (0..<2).map { _ in
            try ChildProcess.spawn("cat", environment: ProcessEnvironment.minimal(), stdin: input)
        }
        // Nothing is ever written: there is nothing to wait for but the end that must not come yet.
        #expect(await children[0].wait(atMost: .milliseconds(100)) == nil)
        lifeline = nil
        for child in children { #expect(await child.wait(atMost: .seconds(20)) == .exited(0)) }
    }
}
