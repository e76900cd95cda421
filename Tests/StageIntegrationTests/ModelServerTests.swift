import ChildProcess
import Coordination
import Foundation
import Glibc
import HTTPTransport
import LocalStack
import Logging
import MLflowClient
import ObjectStorage
import Pipeline
import RedisClient
import StageSupport
import Synchronization
import TestPeers
import TestServers
import Testing

@testable import ModelServer

/// Versions from the real registry and the real store, in engines that are small programs.
@Suite struct ModelServerTests {
    private struct Place: Sendable {
        let bench: Workbench
        let mlflow: MLflowClient
        let coordinator: Coordinator

        /// A version whose weights are a text.
        func register(_ weights: String, aliases: [String], extra: String? = nil) async throws -> String {
            let folder = bench.folder + "/model-" + UUID().uuidString
            try FileManager.default.createDirectory(
                atPath: folder + "/merged", withIntermediateDirectories: true)
            try Data(weights.utf8).write(to: URL(filePath: folder + "/merged/model.safetensors"))
            if let extra { try Data().write(to: URL(filePath: folder + "/merged/" + extra)) }
            let location = try await ArtifactStore(client: bench.storage, bucket: bench.bucket)
                .publish(directory: folder, prefix: "versions/\(UUID().uuidString)")
            _ = try await mlflow.getOrCreateRegisteredModel(named: bench.name)
            let version = try await mlflow.createModelVersion(
                name: bench.name, source: "s3://\(bench.bucket)/merged", runID: "", description: "",
                tags: Lineage.tags(
                    of: ManifestReference(bucket: location.bucket, key: location.key, sha256: location.sha256)))
            for alias in aliases { try await mlflow.setAlias(name: bench.name, alias: alias, version: version.version) }
            return version.version
        }

        /// - Parameter gpus: what a driver's program says, if there is to be one.
        func server(
            _ mlflow: MLflowClient? = nil, gpus: String? = nil, cores: Int? = nil,
            _ change: (inout ServingConfiguration) -> Void = { _ in }
        ) throws -> ModelServer {
            let engine = try #require(Bundle.module.url(forResource: "Peers/engine", withExtension: "py")).path
            var configuration = ServingConfiguration(
                model: bench.name, aliases: ["champion", "challenger"], host: "127.0.0.1",
                command: ["/usr/bin/env", "python3", engine, "{host}", "{port}", "{name}", "{model}"],
                environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin"], maximumInFlight: 4,
                state: bench.folder + "/serving")
            if let gpus {
                let program = bench.folder + "/driver/nvidia-smi"
                try FileManager.default.createDirectory(
                    atPath: bench.folder + "/driver", withIntermediateDirectories: true)
                try Data("#!/bin/sh\nprintf '\(gpus)'\n".utf8).write(to: URL(filePath: program))
                try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: program)
                configuration.environment["PATH"] =
                    bench.folder + "/driver:" + (configuration.environment["PATH"] ?? "")
            }
            configuration.coresPerEngine = cores
            configuration.interval = .milliseconds(200)
            configuration.drainAtLeast = .milliseconds(100)
            configuration.overhead = 0
            change(&configuration)
            return try ModelServer(
                configuration: configuration, mlflow: mlflow ?? self.mlflow, storage: bench.storage,
                coordinator: coordinator, transport: bench.transport,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }

        /// Runs a model server while `body` does.
        func serving(
            _ mlflow: MLflowClient? = nil, gpus: String? = nil, cores: Int? = nil,
            changing change: (inout ServingConfiguration) -> Void = { _ in }, _ body: (ModelServer) async throws -> Void
        ) async throws {
            let server = try server(mlflow, gpus: gpus, cores: cores, change)
            // Unstructured: beside the body, and over before this returns.
            let work = Task { await server.run() }
            do {
                try await body(server)
            } catch {
                work.cancel()
                await work.value
                throw error
            }
            work.cancel()
            await work.value
        }

        func ready() async throws -> [String: Set<String>] {
            var versions: [String: Set<String>] = [:]
            for record in try await coordinator.replicas() where record.state == .ready && record.model == bench.name {
                versions[record.version] = Set(record.aliases)
            }
            return versions
        }

        /// What the engine of a version answers.
        func ask(_ version: String) async throws -> String {
            let record = try #require(
                try await coordinator.replicas().first { $0.version == version && $0.state == .ready })
            let response = try await bench.transport.send(
                HTTPRequest(
                    method: "POST", url: "http://127.0.0.1:\(record.port)/v1/completions",
                    body: .bytes(Array("{\"model\":\"\(record.servedName)\"}".utf8)), retry: .none))
            return String(decoding: try await response.body.collect(upTo: 1 << 16), as: UTF8.self)
        }
    }

    private static func with(_ body: @Sendable (Place) async throws -> Void) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let redis = RedisClient(
            configuration: try RedisConfiguration(url: try await TestServers.shared.redis()), logger: logger)
        do {
            try await Workbench.with { bench in
                try await body(
                    Place(
                        bench: bench, mlflow: try await bench.mlflow(),
                        coordinator: Coordinator(redis: redis, namespace: bench.name, logger: logger)))
            }
            await redis.close()
        } catch {
            await redis.close()
            throw error
        }
    }

    private static func eventually(_ condition: () async throws -> Bool) async throws {
        while try await !condition() { try await Task.sleep(for: .milliseconds(50)) }
    }

    /// An engine gets the GPU with the most room, and none is started where there is none.
    @Test(.timeLimit(.minutes(4)))
    func anEngineGetsAGPUThatHasRoom() async throws {
        try await Self.with { place in
            let version = try await place.register("one", aliases: ["champion"])
            try await place.serving(gpus: #"0, 80000, 73000\n1, 80000, 71000\n3, 80000, 79000\n"#) { _ in
                while try await place.ready()[version] == nil { try await Task.sleep(for: .milliseconds(50)) }
                #expect(try await place.ask(version).contains("\"gpu\": \"3\""))
            }
            // vLLM takes nine tenths of a GPU unless it is told otherwise.
            try await place.serving(gpus: #"0, 80000, 71000\n"#) { server in
                while await server.notReady?.contains("GPU") != true { try await Task.sleep(for: .milliseconds(20)) }
                #expect(await server.processes.isEmpty)
                #expect(await server.notReady?.contains("90 %") == true)
            }
        }
        #expect(GPU.share(of: ["vllm", "--gpu-memory-utilization", "0.4"]) == 0.4)
        #expect(GPU.share(of: ["vllm", "--gpu-memory-utilization=0.25", "x"]) == 0.25)
        #expect(GPU("0, [N/A], 5") == nil && GPU("") == nil)
    }

    /// Side by side, engines are as fast as each other only where each has its own.
    @Test(.timeLimit(.minutes(4)))
    func enginesGetCoresOfTheirOwn() async throws {
        #expect(Cores.parse("0-3,8\n") == [0, 1, 2, 3, 8] && Cores.parse("3-1,x,").isEmpty)
        #expect(Cores.choose(nil, of: [0, 1, 2], taken: [[0]]) == [0, 1, 2])
        #expect(Cores.choose(2, of: [4, 5, 6, 7], taken: [[4, 5], [5, 6]]) == [4, 7])
        #expect(Cores.choose(9, of: [4, 5], taken: []) == [4, 5])
        let allowed = Cores.allowed()
        #expect(!allowed.isEmpty)
        try await Self.with { place in
            let versions = [
                try await place.register("one", aliases: ["champion"]),
                try await place.register("two", aliases: ["challenger"]),
            ]
            try await place.serving(cores: 1) { _ in
                try await Self.eventually { try await Set(place.ready().keys).isSuperset(of: versions) }
                var cores: Set<String> = []
                for version in versions {
                    let answer = try JSONValue(json: Array(try await place.ask(version).utf8))
                    cores.insert(try #require(answer["cores"]?.stringValue))
                }
                #expect(cores.count == min(2, allowed.count) && cores.isSubset(of: allowed.map(String.init)))
            }
        }
    }

    /// An engine holds the memory of a whole model: it must not outlive a model server that is killed, and then another.
    @Test(.timeLimit(.minutes(4)))
    func whatAKilledServerLeftIsEnded() async throws {
        try await Self.with { place in
            let (dead, engine, other) = (
                try ChildProcess.spawn("/bin/sleep", arguments: ["600"], environment: [:]),
                try ChildProcess.spawn("/bin/sleep", arguments: ["600"], environment: [:]),
                try ChildProcess.spawn("/bin/sleep", arguments: ["600"], environment: [:])
            )
            let folder = place.bench.folder + "/serving/engines"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            func keep(server: pid_t, engine: pid_t) throws {
                let identities = try #require([server, engine].map(ProcessIdentity.of) as? [ProcessIdentity])
                let texts = try identities.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
                try Data("{\"server\":\(texts[0]),\"engines\":[\(texts[1])]}".utf8)
                    .write(to: URL(filePath: "\(folder)/\(server).json"))
            }
            try keep(server: dead.pid, engine: engine.pid)
            // One whose server lives is its business.
            try keep(server: getpid(), engine: other.pid)
            dead.signal(SIGKILL)
            await dead.wait()
            let version = try await place.register("A", aliases: ["champion"])
            try await place.serving { server in
                while try await place.ready()[version] == nil { try await Task.sleep(for: .milliseconds(50)) }
                #expect(engine.exitStatus != nil && other.exitStatus == nil)
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/\(dead.pid).json"))
                let own = try Data(contentsOf: URL(filePath: "\(folder)/\(getpid()).json"))
                let engines = await server.processes
                #expect(String(decoding: own, as: UTF8.self).contains("\"pid\":\(engines[0])"))
            }
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/\(getpid()).json"))
            await other.terminate(grace: .seconds(1), wholeGroup: false)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func versionsFollowTheirAliasesWithoutAGap() async throws {
        try await Self.with { place in
            let first = try await place.register("one", aliases: ["champion"])
            try await place.serving { server in
                try await Self.eventually { try await place.ready() == [first: ["champion"]] }
                #expect(try await place.ask(first).contains("\"one\""))
                #expect(await server.notReady == nil)
                // Both side by side.
                let second = try await place.register("two", aliases: ["challenger"])
                try await Self.eventually {
                    try await place.ready() == [first: ["champion"], second: ["challenger"]]
                }
                #expect(try await place.ask(second).contains("\"two\""))
                // It takes over: the engine that runs already goes on, and the old one ends.
                let port = try await place.coordinator.replicas().first { $0.version == second }?.port
                try await place.mlflow.setAlias(name: place.bench.name, alias: "champion", version: second)
                try await Self.eventually { try await place.ready() == [second: ["challenger", "champion"]] }
                #expect(try await place.coordinator.replicas().first { $0.version == second }?.port == port)
            }
            #expect(try await place.ready().isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func anEngineThatIsKilledIsStartedAgain() async throws {
        try await Self.with { place in
            let version = try await place.register("one", aliases: ["champion"])
            try await place.serving { server in
                try await Self.eventually { try await place.ready()[version] != nil }
                let before = try #require(try await place.coordinator.replicas().first)
                let process = try #require(await server.processes.first)
                #expect(kill(process, SIGKILL) == 0)
                try await Self.eventually {
                    let records = try await place.coordinator.replicas()
                    return records.contains { $0.state == .ready && $0.id != before.id }
                }
                #expect(try await place.ask(version).contains("\"one\""))
            }
        }
    }

    /// It takes connections and says nothing, which is worse than being away: what runs is said and started again all the same.
    @Test(.timeLimit(.minutes(4)))
    func aRegistryThatHangsHoldsUpNothing() async throws {
        try await Self.with { place in
            let version = try await place.register("one", aliases: ["champion"])
            let base = try await TestServers.shared.mlflow()
            let hangs = Mutex(false)
            let hung = Signal()
            try await ScriptedUpstream.with { peer in
                while true {
                    let (head, _) = try await peer.readRequest()
                    if hangs.withLock({ $0 }) {
                        hung.fire()
                        _ = try await peer.readToEnd()
                        return
                    }
                    let path = String(head.split(separator: " ")[1])
                    let answer = try await place.bench.transport.send(HTTPRequest(url: base + path, retry: .none))
                    let body = String(decoding: try await answer.body.collect(upTo: 1 << 20), as: UTF8.self)
                    try await peer.answer(body, status: "\(answer.status) As There")
                }
            } _: { registry in
                try await place.serving(try await place.bench.mlflow(url: "http://127.0.0.1:\(registry.port)")) {
                    server in
                    try await Self.eventually { try await place.ready()[version] == ["champion"] }
                    hangs.withLock { $0 = true }
                    _ = await hung.wait()
                    let before = try #require(try await place.coordinator.replicas().first)
                    #expect(kill(try #require(await server.processes.first), SIGKILL) == 0)
                    try await Self.eventually {
                        try await place.coordinator.replicas().contains { $0.state == .ready && $0.id != before.id }
                    }
                }
            }
        }
    }

    /// Wanted again while it ends, it is started anew, and the other one serves until it is there.
    @Test(.timeLimit(.minutes(4)))
    func whatEndsIsNotTakenBack() async throws {
        try await Self.with { place in
            let first = try await place.register("slow one", aliases: ["champion"])
            try await place.serving { server in
                try await Self.eventually { try await place.ready() == [first: ["champion"]] }
                let second = try await place.register("two", aliases: ["champion"])
                try await Self.eventually { await server.isEnding(first) }
                try await place.mlflow.setAlias(name: place.bench.name, alias: "champion", version: first)
                try await Self.eventually {
                    let ready = try await place.ready()
                    #expect(ready.values.contains(["champion"]), "\(ready)")
                    return ready == [first: ["champion"]]
                }
                #expect(try await place.ask(first).contains("slow one"))
                try await Self.eventually { await server.processes.count == 1 }
                #expect(try await place.ready()[second] == nil)
            }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func enginesMayWantAKey() async throws {
        try await Self.with { place in
            let version = try await place.register("one", aliases: ["champion"])
            try await place.serving(changing: {
                $0.credential = "engine-key"
                $0.environment["VLLM_API_KEY"] = "engine-key"
            }) { _ in
                try await Self.eventually { try await place.ready()[version] == ["champion"] }
            }
        }
    }

    /// Two at once would each find the memory that only one of them can have.
    @Test(.timeLimit(.minutes(4)))
    func memoryIsPromisedOnce() async throws {
        try await Self.with { place in
            let first = try await place.register("one", aliases: ["champion"])
            let second = try await place.register("two", aliases: ["challenger"])
            let available = try #require(Memory.available())
            let hold = place.bench.folder + "/go"
            try await place.serving(changing: {
                $0.overhead = available * 2 / 3
                $0.environment["HOLD"] = hold
            }) { server in
                // Both begin at once; the one that is second is tried again when the first one is ready.
                try await Self.eventually {
                    await server.failureCount(of: first) + server.failureCount(of: second) >= 1
                }
                try Data().write(to: URL(filePath: hold))
                try await Self.eventually { try await place.ready() == [first: ["champion"], second: ["challenger"]] }
            }
        }
    }

    @Test func ofWhatEnginesWroteTheYoungestStay() throws {
        let state = NSTemporaryDirectory() + "martlet-log-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: state) }
        for number in 0..<60 {
            let file = try EngineLog.file("\(number)", in: state)
            let text = String(repeating: "line of \(number)\n", count: number == 59 ? 100_000 : 1)
            try Data(text.utf8).write(to: URL(filePath: file))
            let date = Date(timeIntervalSince1970: TimeInterval(1_000_000 + number))
            try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: file)
        }
        EngineLog.sweep(state)
        let left = try FileManager.default.contentsOfDirectory(atPath: state + "/log")
        #expect(Set(left) == Set((10..<60).map { "\($0).log" }))
        #expect(
            EngineLog.lastWords(state + "/log/59.log")
                == Array(repeating: "line of 59", count: 4).joined(separator: " | "))
        #expect(EngineLog.lastWords(state + "/log/0.log") == "it wrote nothing")
    }

    /// Model servers of the same model that follow different aliases share the disk.
    @Test func whatIsRememberedIsEachOnesOwn() throws {
        let memory = NSTemporaryDirectory() + "martlet-served-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: memory) }
        let transport = HTTPTransport(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let mlflow = try MLflowClient(
            configuration: MLflowConfiguration(baseURL: "http://127.0.0.1:9"), transport: transport,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        func version(_ name: String) -> ServedVersion {
            ServedVersion(version: name, artifacts: ManifestReference(bucket: "b", key: "k", sha256: "s"))
        }
        let one = Registry(mlflow: mlflow, model: "m", aliases: ["champion"], memory: memory)
        let other = Registry(mlflow: mlflow, model: "m", aliases: ["challenger", "next"], memory: memory)
        try one.remember(["champion": version("1")])
        try other.remember(["challenger": version("2"), "next": version("3")])
        try other.remember(["challenger": version("4")])
        #expect(one.remembered() == ["champion": version("1")])
        #expect(other.remembered() == ["challenger": version("4")])
    }

    /// A version that does not start leaves the one that serves alone; the next one that does takes over.
    @Test(.timeLimit(.minutes(4)), arguments: ["broken", "code.bin"])
    func aVersionThatCannotBeServedChangesNothing(_ fault: String) async throws {
        try await Self.with { place in
            let first = try await place.register("one", aliases: ["champion"])
            try await place.serving { server in
                try await Self.eventually { try await place.ready() == [first: ["champion"]] }
                let bad = try await place.register(
                    fault == "broken" ? "broken" : "two", aliases: ["champion"],
                    extra: fault == "broken" ? nil : fault)
                try await Self.eventually { await server.failureCount(of: bad) >= 2 }
                #expect(try await place.ask(first).contains("\"one\""))
                #expect(await server.notReady?.contains("version \(bad)") == true)
                let good = try await place.register("three", aliases: ["champion"])
                try await Self.eventually { try await place.ready() == [good: ["champion"]] }
            }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func withoutTheRegistryWhatWasServedLastIsServed() async throws {
        try await Self.with { place in
            let version = try await place.register("one", aliases: ["champion"])
            try await place.serving { _ in
                try await Self.eventually { try await place.ready()[version] != nil }
            }
            // Nobody listens there.
            let away = try await place.bench.mlflow(url: "http://127.0.0.1:9")
            try await place.serving(away) { _ in
                try await Self.eventually { try await place.ready()[version] == ["champion"] }
                #expect(try await place.ask(version).contains("\"one\""))
            }
        }
    }
}
