import ChildProcess
import Foundation
import Glibc
import LocalStack
import Pipeline

/// Schedulers and workers as real processes of the built program, on real servers, in a folder of their own.
///
/// Leases are short, so that what a lease decides is decided within the patience of a test.
actor Fleet {
    nonisolated let share: FleetServers.Share
    nonisolated let folder: String
    private let environment: [String: String]
    private var members: [String: ChildProcess] = [:]

    /// - Parameters:
    ///   - pipelines: YAML by file name without its ending.
    ///   - configuration: the settings file's content.
    private init(
        share: FleetServers.Share, pipelines: [String: String], configuration: String, secrets: [String: String]
    )
        throws
    {
        self.share = share
        folder = NSTemporaryDirectory() + "martlet-fleet-\(getpid())-\(share.host)"
        try FileManager.default.createDirectory(atPath: folder + "/pipelines", withIntermediateDirectories: true)
        for (name, text) in pipelines {
            try Data(text.utf8).write(to: URL(filePath: "\(folder)/pipelines/\(name).yaml"))
        }
        try Data(configuration.utf8).write(to: URL(filePath: folder + "/martlet.yaml"))
        var environment = ProcessEnvironment.minimal()
        environment.merge(share.environment) { $1 }
        environment.merge([
            "MARTLET_CONFIG": folder + "/martlet.yaml", "MARTLET_PIPELINES": folder + "/pipelines",
            "MARTLET_STATE": folder + "/state", "MARTLET_SCHEDULER_LEASE": "3s", "MARTLET_SCHEDULER_HEARTBEAT": "1s",
            "MARTLET_SCHEDULER_RECONCILE_INTERVAL": "500ms", "MARTLET_WORKER_GRACE": "5s",
            "MARTLET_LOG_FORMAT": "json",
        ]) { $1 }
        environment.merge(secrets) { $1 }
        self.environment = environment
    }

    /// Gives `body` a fleet with one scheduler, and ends every process of it on both paths.
    static func run<Value: Sendable>(
        pipelines: [String: String], workers: [String] = [], configuration: String = "log: {level: info}\n",
        secrets: [String: String] = [:], _ body: (Fleet) async throws -> Value
    ) async throws -> Value {
        let fleet = try Fleet(
            share: try await FleetServers.shared.share(), pipelines: pipelines, configuration: configuration,
            secrets: secrets)
        do {
            try await fleet.start("scheduler")
            for pool in workers { try await fleet.start(pool) }
            let value = try await body(fleet)
            await fleet.end()
            try? FileManager.default.removeItem(atPath: fleet.folder)
            return value
        } catch {
            await fleet.end()
            throw Unexpected("\(error)\nlogs are in \(fleet.folder)")
        }
    }

    // MARK: Processes

    static let program: String = {
        // Beside the tests' own bundle: the target depends on the program.
        let bundle = URL(filePath: CommandLine.arguments.first ?? "").resolvingSymlinksInPath()
        var folder = Bundle.module.bundleURL.deletingLastPathComponent()
        while folder.pathComponents.count > 1 {
            let candidate = folder.appending(path: "martlet").path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
            folder.deleteLastPathComponent()
        }
        return bundle.deletingLastPathComponent().appending(path: "martlet").path
    }()

    /// A program of the tests' own.
    nonisolated func script(_ name: String) throws -> String {
        guard let url = Bundle.module.url(forResource: "Programs/" + name, withExtension: nil) else {
            throw Unexpected("there is no \(name) among the tests' programs")
        }
        return url.path
    }

    /// Starts `scheduler` or `scheduler-2`, or a worker `pool` or `pool-2`, and waits until it says that it works.
    func start(
        _ name: String, variables: [String: String] = [:], arguments more: [String] = [], stdin: InputSource = .null
    ) async throws {
        let pool = String(name.prefix { $0 != "-" })
        let arguments = (pool == "scheduler" ? ["scheduler"] : ["worker", "--pool", pool, "--name", name]) + more
        let log = logFile(name)
        let before = text(of: log).utf8.count
        let child = try ChildProcess.spawn(
            Self.program, arguments: arguments, environment: environment.merging(variables) { $1 },
            workingDirectory: folder, stdin: stdin, stdout: .file(log), stderr: .file(log))
        members[name] = child
        let word = pool == "scheduler" ? "scheduler ready" : "taking tasks"
        _ = try await eventually("\(name) works") {
            if let status = child.exitStatus { throw Unexpected("\(name) ended with \(status): \(text(of: log))") }
            return text(of: log).utf8.dropFirst(before).contains(word.utf8) ? true : nil
        }
    }

    func signal(_ name: String, _ number: Int32) async throws {
        guard let member = members[name], member.signal(number) else { throw Unexpected("\(name) does not run") }
        if number == SIGKILL {
            await member.wait()
            members[name] = nil
        }
    }

    /// Waits until the process has ended by itself.
    func ended(_ name: String) async throws -> ExitStatus {
        guard let member = members.removeValue(forKey: name) else { throw Unexpected("\(name) does not run") }
        guard let status = await member.wait(atMost: .seconds(60)) else {
            await member.terminate(grace: .seconds(10), wholeGroup: false)
            throw Unexpected("\(name) does not end")
        }
        return status
    }

    /// SIGTERM; waits until the process has ended.
    func stop(_ name: String) async throws {
        guard let member = members.removeValue(forKey: name) else { throw Unexpected("\(name) does not run") }
        let status = await member.terminate(grace: .seconds(20), wholeGroup: false)
        guard status.isSuccess else { throw Unexpected("\(name) ended with \(status)") }
    }

    private func end() async {
        for member in members.values {
            member.signal(SIGCONT)
            await member.terminate(grace: .seconds(10), wholeGroup: false)
        }
        members = [:]
    }

    nonisolated func log(_ name: String) -> String { text(of: logFile(name)) }

    private nonisolated func logFile(_ name: String) -> String { "\(folder)/\(name).log" }

    private nonisolated func text(of file: String) -> String {
        (try? Data(contentsOf: URL(filePath: file))).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    // MARK: Commands

    struct Answer: Sendable {
        var status: ExitStatus
        var output: String
        var complaint: String
    }

    /// Runs a command of the program to its end.
    nonisolated func martlet(_ words: String...) async throws -> Answer {
        try await command(Self.program, words)
    }

    /// Runs any program to its end, with the fleet's settings.
    nonisolated func command(_ program: String, _ words: [String], stdin: [UInt8] = []) async throws -> Answer {
        try await Self.command(program, words, environment: environment, folder: folder, stdin: stdin)
    }

    /// Runs any program to its end.
    static func command(
        _ program: String, _ words: [String], environment: [String: String], folder: String? = nil, stdin: [UInt8] = []
    ) async throws -> Answer {
        let child = try ChildProcess.spawn(
            program, arguments: words, environment: environment, workingDirectory: folder, stdin: .bytes(stdin),
            stdout: .pipe, stderr: .pipe, lineLimit: 64 << 20)
        async let output = text(child.stdoutLines)
        async let complaint = text(child.stderrLines)
        return Answer(output: await output, complaint: await complaint, status: await child.wait())
    }

    private static func text(_ lines: OutputLines?) async -> String {
        var all = ""
        if let lines { for await line in lines { all += line.text + "\n" } }
        return all
    }

    /// Runs a command that prints JSON.
    nonisolated func json<Value: Decodable>(_ type: Value.Type, _ words: [String]) async throws -> Value {
        let answer = try await command(Self.program, words + ["--output", "json"])
        guard answer.status.isSuccess else {
            throw Unexpected("\(words.joined(separator: " ")) ended with \(answer.status): \(answer.complaint)")
        }
        return try JSONDecoder().decode(type, from: Data(answer.output.utf8))
    }
}

extension Fleet.Answer {
    init(output: String, complaint: String, status: ExitStatus) {
        self.init(status: status, output: output, complaint: complaint)
    }
}

extension Sequence<UInt8> {
    func contains(_ word: some Collection<UInt8>) -> Bool {
        Array(self).firstRange(of: Array(word)) != nil
    }
}
