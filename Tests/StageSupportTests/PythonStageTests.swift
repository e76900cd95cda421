import FoundationEssentials
import Glibc
import Logging
import ObjectStorage
import Pipeline
import Testing

@testable import StageSupport
@testable import WorkerRuntime

/// The protocol between a stage and its Python process, with scripts that behave and scripts that do not.
@Suite(.timeLimit(.minutes(4))) struct PythonStageTests {
    private func run(
        _ script: String, drain: DrainSignal = DrainSignal(),
        handle: @escaping @Sendable (PythonStage.Event) async throws -> Void = { _ in }
    ) async throws -> (ending: PythonStage.Ending, log: String) {
        let scene = try StageScene(drain: drain)
        defer { scene.remove() }
        let environment = try scene.pythonPackage(script)
        let ending = try await PythonStage(environment: environment, grace: .seconds(5))
            .run("work", specification: ["n": 1], context: scene.context, handle: handle)
        return (ending, scene.logText)
    }

    private static func isReleased(_ ending: PythonStage.Ending) -> Bool {
        if case .released = ending { true } else { false }
    }

    private func failure(of script: String) async throws -> Failure {
        let error = await #expect(throws: StageFailure.self) { try await run(script) }
        return try #require(error).failure
    }

    @Test func theSpecificationGoesInAndTheResultComesOut() async throws {
        let events = Seen()
        let (ending, log) = try await run(
            """
            import json, sys
            spec = json.load(open(sys.argv[sys.argv.index("--spec") + 1]))
            print(json.dumps({"event": "progress", "fraction": 0.5}))
            print(json.dumps({"event": "metric", "name": "loss", "value": 1.5}))
            print(json.dumps({"event": "warning", "message": "beware"}))
            print("to the log", file=sys.stderr)
            print(json.dumps({"event": "result", "output": {"n": spec["n"] + 1, "command": sys.argv[1]}}))
            """
        ) { events.add($0.name) }
        guard case .finished(let output) = ending else {
            Issue.record("not finished")
            return
        }
        #expect(output == ["n": 2, "command": "work"])
        #expect(events.names == ["metric"])
        #expect(log.contains("to the log"))
        #expect(log.contains("warning: beware"))
    }

    @Test func anErrorKeepsItsClass() async throws {
        let failure = try await failure(
            of: """
                import json, sys
                print(json.dumps({"event": "error", "class": "resource", "code": "oom", "message": "too big", "details": {"gib": 3}}))
                sys.exit(1)
                """)
        #expect(failure == Failure(class: .resource, code: "work.oom", message: "too big", details: ["gib": 3]))
    }

    @Test func anErrorOfAnUnknownClassIsRetryable() async throws {
        let failure = try await failure(
            of: #"print('{"event": "error", "class": "cosmic"}'); import sys; sys.exit(1)"#)
        #expect(failure.class == .retryable)
        #expect(failure.code == "work.unknown")
    }

    @Test func aLineThatIsNoEventIsNamedAndEndsTheProcess() async throws {
        let failure = try await failure(of: "print('Loading weights...', flush=True)\nimport time; time.sleep(60)")
        #expect(failure.code == "python.protocol")
        #expect(failure.message.contains("Loading weights..."))
    }

    @Test func anEndWithoutAResult() async throws {
        #expect(try await failure(of: "import sys; sys.exit(3)").code == "python.exit")
        #expect(try await failure(of: "pass").code == "python.exit")
        #expect(try await failure(of: "import os; os.kill(os.getpid(), 9)").class == .resource)
        #expect(try await failure(of: "import os; os.kill(os.getpid(), 6)").class == .retryable)
    }

    /// It holds 200 MiB when it ends.
    @Test func aProcessThatTheKernelEndsIsReportedWithItsMemory() async throws {
        let scene = try StageScene()
        defer { scene.remove() }
        let folder = try scene.context.workspace.directory()
        let environment = try scene.pythonPackage(
            """
            import json, os, time
            held = b"x" * (200 << 20)
            print(json.dumps({"event": "up"}), flush=True)
            while not os.path.exists("seen"): time.sleep(0.01)
            os.kill(os.getpid(), 9)
            """)
        let error = await #expect(throws: StageFailure.self) {
            try await PythonStage(environment: environment)
                .run("work", specification: [:], context: scene.context) { _ in
                    try Data().write(to: URL(filePath: folder + "/seen"))
                }
        }
        let failure = try #require(error).failure
        #expect(failure.class == .resource)
        #expect(failure.code == "python.killed")
        #expect((failure.details?["peak_rss_bytes"]?.intValue ?? 0) >= 200 << 20)
        #expect((failure.details?["memory_limit_bytes"]?.intValue ?? 0) > 0)
        #expect(failure.message.contains("MiB at most"), "\(failure.message)")
    }

    @Test func theMemoryLimitIsTheLeastOfThoseAround() throws {
        let root = "/tmp/martlet-cgroup-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: root) }
        func write(_ path: String, _ text: String) throws {
            let file = URL(filePath: root + path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        #expect(MemoryWatch.limit(root: root) == nil)
        try write("/proc/meminfo", "MemTotal:       8192 kB\nMemFree: 1 kB\n")
        #expect(MemoryWatch.limit(root: root) == 8192 << 10)
        try write("/proc/self/cgroup", "0::/pods/one\n")
        try write("/sys/fs/cgroup/pods/memory.max", "1048576\n")
        try write("/sys/fs/cgroup/pods/one/memory.max", "max\n")
        #expect(MemoryWatch.limit(root: root) == 1 << 20)
        try write("/proc/self/cgroup", "3:cpu,cpuacct:/a\n4:memory:/a\n")
        try write("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096\n")
        #expect(MemoryWatch.limit(root: root) == 4096)
    }

    @Test func aResultOfAProcessThatThenFailsDoesNotCount() async throws {
        let failure = try await failure(of: #"print('{"event": "result", "output": 1}'); import sys; sys.exit(1)"#)
        #expect(failure.code == "python.exit")
    }

    @Test func drainAsksTheProcessToSaveItself() async throws {
        let drain = DrainSignal()
        let (ending, log) = try await run(
            """
            import json, signal, sys, time
            def save(number, frame):
                print("saving", file=sys.stderr)
                print(json.dumps({"event": "released"}), flush=True)
                sys.exit(75)
            signal.signal(signal.SIGTERM, save)
            print(json.dumps({"event": "up"}), flush=True)
            while True: time.sleep(0.1)
            """, drain: drain
        ) { _ in drain.set() }
        #expect(Self.isReleased(ending))
        #expect(log.contains("saving"))
    }

    /// Python takes a moment before it heeds a signal.
    @Test func whoIsStoppedBeforeItCanSaveItselfHasNotFailed() async throws {
        let drain = DrainSignal()
        let (ending, _) = try await run(
            """
            import json, time
            print(json.dumps({"event": "up"}), flush=True)
            while True: time.sleep(0.1)
            """, drain: drain
        ) { _ in drain.set() }
        #expect(Self.isReleased(ending))
    }

    @Test func aWorkerThatStopsStartsNothing() async throws {
        let drain = DrainSignal()
        drain.set()
        let (ending, log) = try await run("print('{}')", drain: drain)
        #expect(Self.isReleased(ending))
        #expect(!log.contains("started"))
    }

    /// A program that does not heed SIGTERM, in a worker whose own time is nearly over.
    @Test func inAWorkerThatStopsCancellationDoesNotWaitAgain() async throws {
        let drain = DrainSignal()
        let scene = try StageScene(drain: drain)
        defer { scene.remove() }
        let environment = try scene.pythonPackage(
            """
            import json, signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print(json.dumps({"event": "up"}), flush=True)
            while True: signal.pause()
            """)
        let context = scene.context
        let seen = Seen()
        let task = Task {
            try await PythonStage(environment: environment, grace: .seconds(3_600))
                .run("work", specification: [:], context: context) { seen.add($0.name) }
        }
        while seen.names.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        drain.set()
        task.cancel()
        await #expect(throws: (any Error).self) { try await task.value }
    }

    @Test func theMachinesVariablesReachTheProcessAndSecretsDoNot() async throws {
        let machine = PythonStage.Environment.machine([
            "CUDA_VISIBLE_DEVICES": "1", "NVIDIA_VISIBLE_DEVICES": "all", "LD_LIBRARY_PATH": "/opt/lib",
            "PYTORCH_CUDA_ALLOC_CONF": "x", "HF_HOME": "/models", "OMP_NUM_THREADS": "4", "HF_TOKEN": "secret",
            "MARTLET_S3_SECRET_KEY": "secret", "AWS_SECRET_ACCESS_KEY": "secret", "PATH": "/bin",
        ])
        #expect(
            machine.keys.sorted() == [
                "CUDA_VISIBLE_DEVICES", "HF_HOME", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
                "PYTORCH_CUDA_ALLOC_CONF",
            ])
        let scene = try StageScene()
        defer { scene.remove() }
        var environment = try scene.pythonPackage(
            #"import json, os; print(json.dumps({"event": "result", "output": os.environ["CUDA_VISIBLE_DEVICES"]}))"#)
        environment.variables = machine.filter { $0.key == "CUDA_VISIBLE_DEVICES" }
        let ending = try await PythonStage(environment: environment)
            .run("work", specification: [:], context: scene.context)
        guard case .finished(let output) = ending else {
            Issue.record("not finished")
            return
        }
        #expect(output == "1")
    }

    @Test func cancellationEndsTheWholeGroup() async throws {
        let pids = Seen()
        let task = Task {
            try await run(
                """
                import json, subprocess
                child = subprocess.Popen(["sleep", "300"])
                print(json.dumps({"event": "up", "pid": child.pid}), flush=True)
                child.wait()
                """
            ) { event in pids.add(String(event.fields["pid"]?.intValue ?? 0)) }
        }
        while pids.names.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        task.cancel()
        await #expect(throws: (any Error).self) { try await task.value }
        let pid = try #require(pids.names.first.flatMap { pid_t($0) })
        while !StageScene.isGone(pid) { try await Task.sleep(for: .milliseconds(10)) }
    }

    @Test func anErrorOfTheHandlerEndsTheProcess() async throws {
        await #expect(throws: StageFailure.self) {
            try await run(#"print('{"event": "up"}', flush=True); import time; time.sleep(60)"#) { _ in
                throw StageFailure(.permanent, "x", "no")
            }
        }
    }

    @Test func anInterpreterThatIsMissingIsNamed() async throws {
        let scene = try StageScene()
        defer { scene.remove() }
        let environment = PythonStage.Environment(interpreter: "/no/python", packageDirectory: "/no")
        let error = await #expect(throws: StageFailure.self) {
            try await PythonStage(environment: environment).run("work", specification: [:], context: scene.context)
        }
        #expect(error?.failure.code == "python.start")
        #expect(error?.failure.message.contains("/no/python") == true)
    }
}
