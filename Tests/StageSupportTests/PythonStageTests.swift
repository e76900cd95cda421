import Glibc
import Logging
import ObjectStorage
import Pipeline
import StageSupport
import Testing

@testable import WorkerRuntime

/// The protocol between a stage and its Python process, with scripts that behave and scripts that do not.
@Suite(.timeLimit(.minutes(1))) struct PythonStageTests {
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

    @Test func aResultOfAProcessThatThenFailsDoesNotCount() async throws {
        let failure = try await failure(of: #"print('{"event": "result", "output": 1}'); import sys; sys.exit(1)"#)
        #expect(failure.code == "python.exit")
    }

    @Test func drainAsksTheProcessToSaveItself() async throws {
        let drain = DrainSignal()
        let (ending, log) = try await run(
            """
            import json, signal, sys
            def save(number, frame):
                print("saving", file=sys.stderr)
                print(json.dumps({"event": "released"}), flush=True)
                sys.exit(75)
            signal.signal(signal.SIGTERM, save)
            print(json.dumps({"event": "up"}), flush=True)
            signal.pause()
            """, drain: drain
        ) { _ in drain.set() }
        guard case .released = ending else {
            Issue.record("not released")
            return
        }
        #expect(log.contains("saving"))
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
