import ChildProcess
import FoundationEssentials
import Glibc
import ObjectStorage
import Pipeline
package import WorkerRuntime

/// Runs any program: the parameter `command` is the program and its arguments, without a shell.
///
/// The program finds its inputs as JSON in the file that `MARTLET_INPUTS` names, and leaves files in the folder that
/// `MARTLET_OUTPUT` names; those become the output. A file `values.json` there, an object, becomes the values.
/// Exit code 0 is success, 75 (EX_TEMPFAIL) asks for another try, everything else is a failure.
package struct CommandHandler: StageHandler {
    package let kind = "command"
    package let version = "1"

    package init() {}

    package func run(_ context: StageContext) async throws -> StageResult {
        let parameters = try Parameters(context.payload, known: ["command", "environment"])
        guard let words = parameters["command"]?.arrayValue?.compactMap(\.stringValue), let program = words.first,
            words.count == parameters["command"]?.arrayValue?.count
        else {
            throw StageFailure(
                .permanent, "command.missing",
                "stage \(context.payload.stage) needs `command:`, a list of the program and its arguments, all strings")
        }
        let output = try context.workspace.subdirectory("output")
        let inputs = try context.workspace.directory() + "/inputs.json"
        try JSONEncoder().encode(context.payload.inputs).write(to: URL(filePath: inputs))
        var variables = ProcessEnvironment.minimal()
        for (name, value) in parameters["environment"]?.objectValue ?? [:] {
            variables[name] = value.stringValue ?? value.canonicalJSON
        }
        variables["MARTLET_RUN"] = context.payload.run.description
        variables["MARTLET_STAGE"] = context.payload.stage
        variables["MARTLET_ATTEMPT"] = String(context.attempt)
        variables["MARTLET_INPUTS"] = inputs
        variables["MARTLET_OUTPUT"] = output
        if let traceparent = context.traceparent { variables["TRACEPARENT"] = traceparent }
        let status = try await run(program, Array(words.dropFirst()), variables, context)
        switch status {
        case .exited(0): return .succeeded(try await collect(output, context))
        case .exited(75):
            throw StageFailure(.retryable, "command.tempfail", "\(program) asked for another try (exit code 75)")
        default:
            throw StageFailure(
                .retryable, "command.failed", "\(program) ended with \(status); the task's log holds what it said")
        }
    }

    private func run(
        _ program: String, _ arguments: [String], _ variables: [String: String], _ context: StageContext
    ) async throws -> ExitStatus {
        let child: ChildProcess
        do {
            child = try ChildProcess.spawn(
                program, arguments: arguments, environment: variables,
                workingDirectory: try context.workspace.directory(), stdout: .pipe, stderr: .pipe)
        } catch {
            throw StageFailure(.permanent, "command.start", "\(error)")
        }
        return await withTaskCancellationHandler {
            await withTaskGroup(of: Void.self) { group in
                for lines in [child.stdoutLines, child.stderrLines].compactMap(\.self) {
                    group.addTask { for await line in lines { context.log.line(line.text) } }
                }
            }
            return await child.wait()
        } onCancel: {
            // Unstructured: a cancelled task cannot wait, and the process must not outlive the attempt.
            Task { await child.terminate(grace: .seconds(5)) }
        }
    }

    private func collect(_ directory: String, _ context: StageContext) async throws -> StageOutput {
        let files = try FileManager.default.contentsOfDirectory(atPath: directory)
        guard !files.isEmpty else {
            return StageOutput(digest: Digest.sha256(context.payload.parameters.canonicalJSON))
        }
        var values = JSONValue.object([:])
        if files.contains("values.json") {
            let data = try Data(contentsOf: URL(filePath: directory + "/values.json"))
            guard data.count <= 64 << 10, let object = try? JSONDecoder().decode(JSONValue.self, from: data),
                object.objectValue != nil
            else {
                throw StageFailure(
                    .permanent, "command.values",
                    "values.json of stage \(context.payload.stage) must be a JSON object of at most 64 KiB")
            }
            values = object
        }
        let reference = try await context.publish(directory: directory)
        let manifest = try await context.artifacts.manifest(reference.location)
        return StageOutput(artifacts: reference, values: values, digest: manifest.contentDigest)
    }
}
