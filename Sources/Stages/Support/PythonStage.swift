import ChildProcess
import FoundationEssentials
import Glibc
import Logging
package import Pipeline
package import WorkerRuntime

/// Runs a command of the Python package `martlet_stages` in a process of its own: no memory, on the GPU or off it,
/// outlives the task.
///
/// The specification goes in as a file, events come back as JSON lines on standard output, standard error is the
/// task's log. SIGTERM asks the process to save what it has and go.
package struct PythonStage: Sendable {
    /// The interpreter and the folder that holds the package.
    package struct Environment: Sendable {
        package var interpreter: String
        package var packageDirectory: String
        /// Added to the child's variables, such as `CUDA_VISIBLE_DEVICES`.
        package var variables: [String: String]

        package init(interpreter: String, packageDirectory: String, variables: [String: String] = [:]) {
            self.interpreter = interpreter
            self.packageDirectory = packageDirectory
            self.variables = variables
        }

        /// What a child needs to know of this machine: its GPUs, its libraries, its threads, where models are cached.
        /// Nothing else of this process's variables, some of which are secrets.
        package static func machine(_ variables: [String: String]) -> [String: String] {
            let names: Set = ["LD_LIBRARY_PATH", "HF_HOME", "OMP_NUM_THREADS"]
            return variables.filter { name, _ in
                names.contains(name) || ["CUDA_", "NVIDIA_", "PYTORCH_"].contains { name.hasPrefix($0) }
            }
        }
    }

    /// Finds the environment when it is first needed, so that a worker that needs no Python starts without.
    package typealias Provider = @Sendable () throws -> Environment

    /// How the process ended well.
    package enum Ending: Sendable {
        case finished(JSONValue)
        /// It saved its state because the worker stops.
        case released
    }

    /// A line of the event stream.
    package struct Event: Sendable {
        package var name: String
        package var fields: JSONValue
    }

    private let environment: Environment
    /// How long the process may take to save itself after SIGTERM.
    private let grace: Duration

    package init(environment: Environment, grace: Duration = .seconds(25)) {
        self.environment = environment
        self.grace = grace
    }

    /// Runs `command` with `specification` and returns its result.
    /// - Parameter handle: called for every event but the last, in order, one at a time; an error it throws stops
    ///   the process.
    package func run(
        _ command: String, specification: JSONValue, context: StageContext,
        handle: @escaping @Sendable (Event) async throws -> Void = { _ in }
    ) async throws -> Ending {
        // It would be stopped before it could save anything.
        if context.drain.isSet { return .released }
        let folder = try context.workspace.directory()
        let file = folder + "/\(command).spec.json"
        try Data(specification.canonicalJSON.utf8).write(to: URL(filePath: file))
        let child = try start(command, file: file, folder: folder)
        let memory = MemoryWatch(of: child.pid)
        context.log.line("started \(command) (process \(child.pid))")
        return try await withTaskCancellationHandler {
            try await withThrowingTaskGroup(of: Ending?.self) { group in
                group.addTask {
                    try await follow(child, memory, command: command, context: context, handle: handle)
                }
                group.addTask {
                    await memory.keepLooking()
                    return nil
                }
                group.addTask {
                    await context.drain.wait()
                    // Only a drain, not the cancellation that ends this wait when the child is done.
                    if context.drain.isSet { child.signal(SIGTERM) }
                    return nil
                }
                defer { group.cancelAll() }
                do {
                    while let answer = try await group.next() {
                        if let answer { return answer }
                    }
                } catch {
                    await child.terminate(grace: .seconds(5))
                    throw error
                }
                throw StageFailure(.retryable, "python.no_result", "\(command) ended without a result")
            }
        } onCancel: {
            // Unstructured: a cancelled task cannot wait, and the process must not outlive the attempt. In a worker that
            // stops it had its SIGTERM when the worker had; what is left of that worker's own time is short.
            let grace = context.drain.isSet ? min(grace, .seconds(5)) : grace
            Task { await child.terminate(grace: grace) }
        }
    }

    private func start(_ command: String, file: String, folder: String) throws -> ChildProcess {
        var variables = ProcessEnvironment.minimal()
        variables["PYTHONPATH"] = environment.packageDirectory
        variables["PYTHONUNBUFFERED"] = "1"
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        for (name, value) in environment.variables { variables[name] = value }
        do {
            return try ChildProcess.spawn(
                environment.interpreter, arguments: ["-m", "martlet_stages", command, "--spec", file],
                environment: variables, workingDirectory: folder, stdout: .pipe, stderr: .pipe)
        } catch {
            throw StageFailure(
                .retryable, "python.start",
                "cannot start \(environment.interpreter): \(error); run deploy/python/env.sh stages")
        }
    }

    private func follow(
        _ child: ChildProcess, _ memory: MemoryWatch, command: String, context: StageContext,
        handle: @Sendable (Event) async throws -> Void
    ) async throws -> Ending {
        var ending: Ending?
        var failure: StageFailure?
        async let errors: Void = Self.keepErrors(of: child, in: context)
        if let lines = child.stdoutLines {
            for await line in lines {
                let event = try Self.event(line.text, command: command)
                memory.look()
                switch event.name {
                case "result": ending = .finished(event.fields["output"] ?? .null)
                case "released": ending = .released
                case "error": failure = Self.failure(event.fields, command: command)
                case "progress":
                    context.report(progress: event.fields)
                case "warning":
                    context.log.line("warning: \(event.fields["message"]?.stringValue ?? "?")")
                default: try await handle(event)
                }
            }
        }
        let status = await child.wait()
        // What it said last is in the log before anybody says how it ended.
        await errors
        if let failure { throw failure }
        if let ending, status == .exited(0) || status == .exited(75) { return ending }
        try Task.checkCancellation()
        // Stopped before it heeded the signal: there is nothing to save, and nothing has failed.
        if context.drain.isSet, status == .signalled(SIGTERM) { return .released }
        if status == .signalled(SIGKILL) {
            throw StageFailure(
                .resource, "python.killed",
                "\(command) was ended by \(status); most often the machine was out of memory: \(memory.description)",
                details: memory.details)
        }
        if case .signalled = status {
            throw StageFailure(.retryable, "python.killed", "\(command) was ended by \(status)")
        }
        throw StageFailure(
            .retryable, "python.exit", "\(command) ended with \(status) and no result; the task's log tells more")
    }

    private static func keepErrors(of child: ChildProcess, in context: StageContext) async {
        guard let lines = child.stderrLines else { return }
        for await line in lines { context.log.line(line.text) }
    }

    private static func event(_ line: String, command: String) throws -> Event {
        guard let fields = try? JSONValue(json: Array(line.utf8)),
            let name = fields["event"]?.stringValue
        else {
            throw StageFailure(
                .retryable, "python.protocol", "\(command) wrote a line that is no event: \(line.prefix(200))")
        }
        return Event(name: name, fields: fields)
    }

    private static func failure(_ fields: JSONValue, command: String) -> StageFailure {
        let word = fields["class"]?.stringValue ?? ""
        return StageFailure(
            Failure.Class(rawValue: word) ?? .retryable, command + "." + (fields["code"]?.stringValue ?? "unknown"),
            fields["message"]?.stringValue ?? "\(command) failed without saying why", details: fields["details"])
    }
}
