import ChildProcess
import Glibc

/// Runs a short-lived program of a preparation step.
enum HelperProgram {
    /// Runs it to its end and returns its standard output.
    ///
    /// - Parameters:
    ///   - input: its standard input; the place for secrets.
    ///   - limit: after which it is killed.
    /// - Throws: `missingExecutable`, or `preparationFailed` with the end of its standard error.
    static func run(
        _ program: String, _ arguments: [String], environment: [String: String] = ProcessEnvironment.minimal(),
        input: String = "", workingDirectory: String? = nil, server: ServerName, limit: Duration = .seconds(120)
    ) async throws -> String {
        let child: ChildProcess
        do {
            child = try ChildProcess.spawn(
                program, arguments: arguments, environment: environment, workingDirectory: workingDirectory,
                stdin: .bytes(Array(input.utf8)), stdout: .pipe, stderr: .pipe, lineLimit: 4_096)
        } catch {
            let code: StackError.Code = error.code == .executableNotFound ? .missingExecutable : .preparationFailed
            throw StackError(code, server: server, error.message)
        }
        let guardTask = Task {
            try await Task.sleep(for: limit)
            child.signalGroup(SIGKILL)
        }
        defer { guardTask.cancel() }
        async let output = collect(child.stdoutLines, keep: 1_000)
        async let errors = collect(child.stderrLines, keep: 20)
        let status = await withTaskCancellationHandler {
            await child.wait()
        } onCancel: {
            child.signalGroup(SIGKILL)
        }
        let (lines, complaints) = await (output, errors)
        guard status.isSuccess else {
            let name = program.split(separator: "/").last ?? ""
            throw StackError(.preparationFailed, server: server, "\(name) ended with \(status)", logTail: complaints)
        }
        return lines.joined(separator: "\n")
    }

    private static func collect(_ lines: OutputLines?, keep limit: Int) async -> [String] {
        guard let lines else { return [] }
        var kept: [String] = []
        for await line in lines {
            kept.append(line.text)
            if kept.count > limit { kept.removeFirst() }
        }
        return kept
    }
}
