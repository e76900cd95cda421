package import Coordination
import FoundationEssentials
import Glibc
package import HTTPTransport
package import Logging
package import MLflowClient
package import ObjectStorage
import StageSupport

/// Keeps an engine running for every version that an alias means, and none for others; tells the gateways who serves.
package actor ModelServer {
    /// An engine's way from its start to its end.
    private enum Stage: Equatable {
        case starting
        case ready
        case draining
        /// Told to end: nothing brings it back.
        case stopping
    }

    private struct Member {
        let engine: Engine
        let id: String
        let since: Int64
        var stage: Stage
        var work: Task<Void, Never>?
        /// Which one it got, where there are any.
        var gpu: Int?
        /// Memory of the machine that it will have taken once it is ready.
        let memory: Int64
        /// Those of the processor that its threads are bound to.
        var cores: [Int]
    }

    private let configuration: ServingConfiguration
    private let registry: Registry
    private let cache: ModelCache
    private var engines: EngineList?
    private let coordinator: Coordinator
    private let transport: HTTPTransport
    private let log: Logger
    private var members: [ServedVersion: Member] = [:]
    private var wanted: [String: ServedVersion] = [:]
    private var failures: [ServedVersion: (count: Int, until: ContinuousClock.Instant)] = [:]
    private var fetching: Set<ServedVersion> = []
    private var isRegistryAway = false
    private var isStopping = false
    /// The version that has each alias for the gateways: the old one until the new one is ready.
    private var served: [String: ServedVersion] = [:]
    private var remembered: [String: ServedVersion] = [:]
    private var complaints: Set<String> = []
    /// The last word to the gateways: one comes after another, or an older state would be the last one.
    private var announcing: Task<Void, Never>?
    private var lacks: String?

    /// Where vLLM reads its threads' cores.
    private static let coresName = "VLLM_CPU_OMP_THREADS_BIND"
    private static let longestPause = Duration.seconds(120)

    package init(
        configuration: ServingConfiguration, mlflow: MLflowClient, storage: S3Client, coordinator: Coordinator,
        transport: HTTPTransport, logger: Logger
    ) throws {
        self.configuration = configuration
        self.coordinator = coordinator
        self.transport = transport
        log = logger
        try FileManager.default.createDirectory(
            atPath: configuration.state, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        registry = Registry(
            mlflow: mlflow, model: configuration.model, aliases: configuration.aliases,
            memory: configuration.state + "/served.json")
        engines = EngineList(folder: configuration.state, log: log)
        cache = ModelCache(directory: configuration.state + "/models", storage: storage)
    }

    /// Why it does not serve what it should; nil when it does.
    package var notReady: String? {
        if wanted.isEmpty {
            return lacks ?? "no version has the aliases \(configuration.aliases.joined(separator: ", "))"
        }
        let missing = wanted.filter { members[$0.value]?.stage != .ready }.map {
            "\($0.key) (version \($0.value.version))"
        }
        return missing.isEmpty ? nil : lacks ?? "starting \(missing.sorted().joined(separator: ", "))"
    }

    /// The engines' process ids.
    var processes: [pid_t] { members.values.map(\.engine.processID) }

    /// How often a version could not be served, one time after another.
    func failureCount(of version: String) -> Int {
        failures.first { $0.key.version == version }?.value.count ?? 0
    }

    /// Whether the engine of a version was told to end.
    func isEnding(_ version: String) -> Bool {
        members.contains { $0.key.version == version && $0.value.stage == .stopping }
    }

    /// Serves until it is cancelled; then the engines drain and end.
    package func run() async {
        await engines?.sweep()
        _ = HeldFolder.sweep(configuration.state + "/models", prefix: ".fetching-")
        // Beside the other: a registry that does not answer keeps nobody from hearing that the engines run.
        await withDiscardingTaskGroup { group in
            group.addTask {
                await self.repeatedly {
                    await self.look()
                    await self.settle()
                }
            }
            group.addTask {
                await self.repeatedly {
                    await self.settle()
                    await self.announceAll()
                }
            }
        }
        await stop()
        engines?.set(processes)
    }

    private func repeatedly(_ body: () async -> Void) async {
        while !Task.isCancelled {
            await body()
            try? await Task.sleep(for: configuration.interval)
        }
    }

    private func settle() async {
        await reconcile()
        remember()
        engines?.set(processes)
    }

    // MARK: What is wanted

    private func look() async {
        do {
            let (versions, problems) = try await registry.ask()
            for problem in problems.values where complaints.insert(problem).inserted {
                log.error("an alias is left as it was", metadata: ["reason": "\(problem)"])
            }
            if isRegistryAway { log.notice("the registry answers again") }
            isRegistryAway = false
            // An alias that is gone leaves its version alone until another has it: nobody meant to serve nothing.
            for (alias, version) in versions where wanted[alias] != version {
                log.notice("alias moved", metadata: ["alias": "\(alias)", "version": "\(version.version)"])
                wanted[alias] = version
            }
            // The challenger's alias may end with its rollout.
            for alias in wanted.keys
            where versions[alias] == nil && problems[alias] == nil && alias != Lineage.championAlias {
                wanted[alias] = nil
            }
        } catch {
            guard !Task.isCancelled else { return }
            if !isRegistryAway {
                log.warning(
                    "the registry does not answer; what was served last is served", metadata: ["error": "\(error)"])
            }
            isRegistryAway = true
            if wanted.isEmpty { wanted = registry.remembered() }
        }
    }

    // MARK: Engines

    private func reconcile() async {
        let versions = Set(wanted.values)
        for version in versions where members[version]?.stage == .draining && members[version]?.engine.isAlive == true {
            // It is wanted again, and still there.
            members[version]?.stage = .ready
            log.notice("engine goes on", metadata: ["version": "\(version.version)"])
        }
        for version in versions where members[version] == nil && !fetching.contains(version) {
            if let failure = failures[version], ContinuousClock.now < failure.until { continue }
            fetching.insert(version)
            // Unstructured: the weights may take minutes to come, and the gateways want to hear of the others meanwhile.
            Task { await self.start(version) }
        }
        let isServed = versions.allSatisfy { members[$0]?.stage == .ready }
        var useless: [Engine] = []
        for (version, member) in members where !versions.contains(version) {
            switch member.stage {
            // The old one goes when what replaces it is there.
            case .ready where isServed: drain(version)
            case .starting:
                member.work?.cancel()
                members[version] = nil
                useless.append(member.engine)
            default: continue
            }
        }
        for engine in useless { await engine.stop() }
    }

    private func start(_ version: ServedVersion) async {
        defer { fetching.remove(version) }
        do {
            let folder = try await cache.folder(for: version.artifacts, below: "merged")
            guard !isStopping else { return }
            let bytes = try Weights.check(folder)
            var configuration = configuration
            let gpus = await GPU.all(configuration.environment)
            guard !isStopping else { return }
            // The cache is in the GPU's memory, where there is one.
            let memory = bytes + configuration.overhead + (gpus.isEmpty ? configuration.cache : 0)
            // What those that start will take is not taken yet.
            let promised = members.values.filter { $0.stage == .starting }.reduce(0) { $0 + $1.memory }
            if let available = Memory.available(), available - promised < memory {
                lacks =
                    "version \(version.version) needs \(memory >> 20) MiB, \(max(0, available - promised) >> 20) are free"
                log.warning(
                    "not enough memory for another engine; it is tried again", metadata: ["reason": "\(lacks ?? "")"])
                note(failureOf: version)
                return
            }
            var gpu: GPU?
            if !gpus.isEmpty, !GPU.isShared(configuration.command) {
                let share = GPU.share(of: configuration.command)
                // What those that start will take is not taken yet.
                let starting = members.values.filter { $0.stage == .starting }.compactMap(\.gpu)
                gpu = GPU.choose(gpus.map { $0.less(share, for: starting) }, share: share, least: bytes)
                guard let gpu else {
                    let free = gpus.map { "\($0.free >> 20)" }.joined(separator: " ")
                    lacks =
                        "version \(version.version) needs \(Int(share * 100)) % of a GPU's memory and \(bytes >> 20) MiB, "
                        + "\(free) MiB are free; give every engine less with --gpu-memory-utilization"
                    log.warning(
                        "not enough memory on a GPU for another engine; it is tried again",
                        metadata: ["reason": "\(lacks ?? "")"])
                    note(failureOf: version)
                    return
                }
                configuration.environment["CUDA_VISIBLE_DEVICES"] = String(gpu.index)
                // The driver's numbers are by place; by itself CUDA counts by speed.
                configuration.environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            }
            // All of them, or those with the fewest engines. By itself vLLM binds every engine's threads to cores of its
            // choice, and two engines to the same one.
            let cores = Cores.choose(
                configuration.coresPerEngine, of: Cores.allowed(), taken: members.values.map(\.cores))
            if configuration.environment[Self.coresName] == nil, !cores.isEmpty {
                configuration.environment[Self.coresName] = cores.map(String.init).joined(separator: ",")
            }
            lacks = nil
            let engine = try Engine(version, folder: folder, configuration, transport: transport, log: log)
            let id = "\(configuration.model)-\(version.version)-\(engine.port)@\(Self.host)-\(getpid())"
            log.notice("engine starts", metadata: ["version": "\(version.version)", "port": "\(engine.port)"])
            members[version] = Member(
                engine: engine, id: id, since: Self.now, stage: .starting, work: nil, gpu: gpu?.index,
                memory: memory, cores: cores)
            engines?.set(processes)
            // Unstructured: an engine starts, serves and ends beside the others, for longer than this call.
            members[version]?.work = Task { await self.accompany(engine, version) }
        } catch {
            note(failureOf: version)
            log.error(
                "a version cannot be served; it is tried again",
                metadata: ["version": "\(version.version)", "error": "\(error)"])
        }
    }

    private func accompany(_ engine: Engine, _ version: ServedVersion) async {
        do {
            try await engine.waitUntilReady(within: configuration.startLimit)
            guard members[version]?.engine === engine else { return }
            members[version]?.stage = .ready
            log.notice("engine ready", metadata: ["version": "\(version.version)", "port": "\(engine.port)"])
            // Before anybody hears of it: what is told to be served is served again after a restart.
            remember()
            await announceAll()
        } catch {
            guard members[version]?.engine === engine else { return }
            members[version] = nil
            note(failureOf: version)
            log.error(
                "an engine did not start; it is tried again",
                metadata: ["version": "\(version.version)", "error": "\(error)"])
            await engine.stop()
            return
        }
        let ready = ContinuousClock.now
        let status = await engine.ended()
        // One that lived long did nothing wrong at its start.
        if ContinuousClock.now - ready > Self.longestPause { failures[version] = nil }
        guard let member = members[version], member.engine === engine else { return }
        members[version] = nil
        if member.stage == .ready, !Task.isCancelled {
            // Before anything else: nobody may start it again without its pause.
            note(failureOf: version)
            // The gateways would find out by themselves, a request later.
            await inTurn { await self.announce(member, version, .draining) }
            log.error(
                "an engine ended; another is started",
                metadata: ["version": "\(version.version)", "status": "\(status)"])
        }
    }

    /// Writes down what is served, for times without the registry.
    private func remember() {
        guard !wanted.isEmpty, wanted != remembered, wanted.values.allSatisfy({ members[$0]?.stage == .ready }) else {
            return
        }
        do {
            try registry.remember(wanted)
            remembered = wanted
        } catch {
            log.warning("cannot keep what is served", metadata: ["error": "\(error)"])
        }
    }

    /// Doubles the pause with every failure of a version.
    private func note(failureOf version: ServedVersion) {
        let count = (failures[version]?.count ?? 0) + 1
        var pause = Duration.seconds(1)
        for _ in 1..<min(count, 10) where pause < Self.longestPause { pause = pause * 2 }
        failures[version] = (count, .now + min(pause, Self.longestPause))
    }

    private func drain(_ version: ServedVersion) {
        guard let member = members[version] else { return }
        members[version]?.stage = .draining
        log.notice("engine drains", metadata: ["version": "\(version.version)", "port": "\(member.engine.port)"])
        // Unstructured, as its start.
        Task { await self.finish(member, version) }
    }

    private func finish(_ member: Member, _ version: ServedVersion) async {
        await announceAll()
        let begin = ContinuousClock.now
        var idle = 0
        while ContinuousClock.now - begin < configuration.drainLimit, member.engine.isAlive {
            do { try await Task.sleep(for: .milliseconds(500)) } catch { break }
            if !isStopping, members[version]?.stage != .draining { return }
            // An engine that does not say whether it is idle gets all the time there is.
            idle = await member.engine.isIdle() == true ? idle + 1 : 0
            // Twice, as a request may be between the gateway and the engine.
            if idle >= 2, ContinuousClock.now - begin >= configuration.drainAtLeast { break }
        }
        guard isStopping || members[version]?.stage == .draining && members[version]?.engine === member.engine else {
            return
        }
        if members[version]?.engine === member.engine { members[version]?.stage = .stopping }
        await member.engine.stop()
        if members[version]?.engine === member.engine { members[version] = nil }
        log.notice("engine ended", metadata: ["version": "\(version.version)"])
    }

    private func stop() async {
        isStopping = true
        let all = members
        for version in all.keys where members[version]?.stage == .ready { members[version]?.stage = .draining }
        // A task of its own: this one is cancelled, and the requests that run still need their engines.
        await Task {
            await withTaskGroup(of: Void.self) { group in
                for (version, member) in all {
                    group.addTask {
                        if member.stage == .starting {
                            await member.engine.stop()
                        } else {
                            await self.finish(member, version)
                        }
                    }
                }
            }
        }.value
    }

    // MARK: The gateways

    private func announceAll() async {
        for (alias, version) in wanted where members[version]?.stage == .ready { served[alias] = version }
        served = served.filter { wanted[$0.key] != nil }
        await inTurn { await self.announceMembers() }
    }

    private func announceMembers() async {
        // Who has an alias first: that it has moved is known before the old one lets go of it.
        let named = Set(served.values)
        for version in members.keys.sorted(by: { named.contains($0) && !named.contains($1) }) {
            // As it is by now.
            guard let member = members[version], member.stage != .starting else { continue }
            await announce(member, version, member.stage == .ready ? .ready : .draining)
        }
    }

    private func inTurn(_ body: @escaping @Sendable () async -> Void) async {
        let before = announcing
        // Unstructured: it is said also when whoever has it said ends.
        let turn = Task {
            await before?.value
            await body()
        }
        announcing = turn
        await turn.value
    }

    private func announce(_ member: Member, _ version: ServedVersion, _ state: ReplicaRecord.State) async {
        let aliases = served.filter { $0.value == version }.map(\.key).sorted()
        let record = ReplicaRecord(
            id: member.id, model: configuration.model, version: version.version, aliases: aliases,
            host: configuration.host, port: member.engine.port, servedName: member.engine.name,
            maximumInFlight: configuration.maximumInFlight, state: state, since: member.since)
        do {
            try await coordinator.announce(record)
        } catch {
            log.warning("cannot tell the gateways who serves; said again", metadata: ["error": "\(error)"])
        }
    }

    private static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    private static var host: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
