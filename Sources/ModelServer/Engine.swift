import ChildProcess
import FoundationEssentials
import Glibc
import HTTPTransport
import Logging

/// One process of vLLM, or of whatever the command names, with one version of the model.
final class Engine: Sendable {
    let version: ServedVersion
    let port: Int
    /// The model's name at the engine.
    let name: String
    private let host: String
    private let child: ChildProcess
    private let transport: HTTPTransport
    private let log: Logger
    private let headers: [HTTPHeader]
    /// What it writes.
    private let logFile: String

    private static let timeouts = HTTPTimeouts(
        connect: .seconds(2), firstByte: .seconds(60), idle: .seconds(60), total: .seconds(120))

    /// Starts the process; it does not answer yet.
    /// - Parameter folder: of the weights.
    init(
        _ version: ServedVersion, folder: String, _ configuration: ServingConfiguration, transport: HTTPTransport,
        log: Logger
    ) throws {
        self.version = version
        self.transport = transport
        self.log = log
        host = configuration.host
        headers = configuration.credential.map { [HTTPHeader("Authorization", "Bearer \($0)")] } ?? []
        name = "\(configuration.model):\(version.version)"
        port = try FreePort.find(host: configuration.host)
        logFile = try EngineLog.file("\(version.version)-\(port)", in: configuration.state)
        let values = ["{model}": folder, "{name}": name, "{host}": host, "{port}": String(port)]
        let words = configuration.command.map { word in
            values.reduce(word) { $0.replacing($1.key, with: $1.value) }
        }
        guard let program = words.first else { throw ServingError("the engine's command is empty") }
        child = try ChildProcess.spawn(
            program, arguments: Array(words.dropFirst()), environment: configuration.environment,
            stdout: .file(logFile), stderr: .file(logFile))
    }

    var processID: pid_t { child.pid }

    var isAlive: Bool { child.exitStatus == nil }

    /// Waits for the process's end.
    func ended() async -> ExitStatus { await child.wait() }

    /// Waits until it answers, and lets it answer once, so that the first client does not wait for what only happens once.
    /// - Throws: ``ServingError`` when it ends, or the time is over.
    func waitUntilReady(within limit: Duration) async throws {
        let end = ContinuousClock.now + limit
        while await get("/health") != 200 {
            try Task.checkCancellation()
            if let status = child.exitStatus {
                throw ServingError("the engine ended with \(status) while it started: \(lastWords)")
            }
            guard ContinuousClock.now < end else {
                throw ServingError("the engine did not answer within \(limit): \(lastWords)")
            }
            // It says that it is ready by answering, and in no other way.
            try await Task.sleep(for: .milliseconds(250))
        }
        try await warmUp()
    }

    private func warmUp() async throws {
        let body = "{\"model\":\"\(name)\",\"prompt\":\"Warm up\",\"max_tokens\":8,\"temperature\":0}"
        let response = try await transport.send(
            HTTPRequest(
                method: "POST", url: "http://\(address)/v1/completions",
                headers: headers + [HTTPHeader("Content-Type", "application/json")], body: .bytes(Array(body.utf8)),
                timeouts: Self.timeouts, retry: .none, proxy: .direct))
        let answer = try await response.body.collect(upTo: 1 << 20)
        guard response.isSuccess else {
            throw ServingError(
                "the engine answered its first request with \(response.status): \(String(decoding: answer.prefix(300), as: UTF8.self))"
            )
        }
    }

    /// Whether it works on anything, by its own metrics; nil when it does not say.
    func isIdle() async -> Bool? {
        do {
            let response = try await transport.send(
                HTTPRequest(
                    url: "http://\(address)/metrics", headers: headers, timeouts: Self.timeouts, retry: .none,
                    proxy: .direct))
            let text = String(decoding: try await response.body.collect(upTo: 4 << 20), as: UTF8.self)
            var sum: Double?
            for line in text.split(separator: "\n")
            where line.hasPrefix("vllm:num_requests_running") || line.hasPrefix("vllm:num_requests_waiting{") {
                sum = (sum ?? 0) + (line.split(separator: " ").last.flatMap { Double($0) } ?? 0)
            }
            return sum.map { $0 == 0 }
        } catch {
            return nil
        }
    }

    /// Whether it answers.
    func isHealthy() async -> Bool { await get("/health") == 200 }

    func stop() async {
        await child.terminate(signal: SIGTERM, grace: .seconds(15))
    }

    private var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    private func get(_ path: String) async -> Int? {
        do {
            let response = try await transport.send(
                HTTPRequest(
                    url: "http://\(address)\(path)", headers: headers,
                    timeouts: HTTPTimeouts(
                        connect: .seconds(2), firstByte: .seconds(5), idle: .seconds(5), total: .seconds(8)),
                    retry: .none, proxy: .direct))
            _ = try await response.body.collect(upTo: 1 << 16)
            return response.status
        } catch {
            return nil
        }
    }

    private var lastWords: String { EngineLog.lastWords(logFile) }
}

/// A port that nobody has now.
private enum FreePort {
    static func find(host: String) throws -> Int {
        let isIPv6 = host.contains(":")
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw ServingError("no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        if isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            try bindAndListen(descriptor, &address)
            try name(descriptor, &address)
            return Int(UInt16(bigEndian: address.sin6_port))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        try bindAndListen(descriptor, &address)
        try name(descriptor, &address)
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func bindAndListen<Address>(_ descriptor: Int32, _ address: inout Address) throws {
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        guard result == 0 else { throw ServingError("no free port: \(String(cString: strerror(errno)))") }
    }

    private static func name<Address>(_ descriptor: Int32, _ address: inout Address) throws {
        var length = socklen_t(MemoryLayout<Address>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { throw ServingError("no free port: \(String(cString: strerror(errno)))") }
    }
}
