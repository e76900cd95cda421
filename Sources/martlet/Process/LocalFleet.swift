import ChildProcess
import Configuration
import Coordination
import Foundation
import Ledger
import LocalStack
import Logging
import Pipeline
import Scheduler

/// Martlet's own processes on this machine: one scheduler, and as many workers as each pool should have.
actor LocalFleet {
    private struct Member {
        var child: ChildProcess
        var identity: ProcessIdentity?
        var startedAt: ContinuousClock.Instant
        var started: Timestamp
        /// Of health and metrics.
        var port: UInt16
        /// Whether it has said so once.
        var isReady = false
    }

    /// A place in the fleet that should be filled; it outlives the processes that fill it.
    private struct Seat: Hashable {
        /// Nil for the scheduler.
        var pool: String?
        var number: Int

        var name: String { pool.map { "\($0)-\(number)" } ?? "scheduler" }
    }

    private let stack: LocalStack
    private let config: String?
    private let coordinator: Coordinator
    private let ledger: Ledger
    private let pipelines: String
    private let grace: Duration
    private let board: StatusBoard
    private let logger: Logger
    private var members: [Seat: Member] = [:]
    private var draining: Set<Seat> = []
    private var restarts: [Seat: Int] = [:]
    private var backoffs: [Seat: RestartBackoff] = [:]
    private var notBefore: [Seat: ContinuousClock.Instant] = [:]
    /// The input of every member: it ends with this process, and the members with it.
    private let lifeline: Lifeline
    /// Rung when a process ends or a pool's size changes.
    private let bell = Bell()

    init(
        stack: LocalStack, config: String?, coordinator: Coordinator, ledger: Ledger, pipelines: String,
        grace: Duration, board: StatusBoard, logger: Logger
    ) throws {
        self.stack = stack
        lifeline = try Lifeline()
        self.config = config
        self.coordinator = coordinator
        self.ledger = ledger
        self.pipelines = pipelines
        self.grace = grace
        self.board = board
        self.logger = logger
    }

    /// Keeps the fleet as it should be until the surrounding task is cancelled; then drains it.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.listen() }
            while !Task.isCancelled {
                await reconcile()
                await waitForChange()
            }
            group.cancelAll()
        }
        board.stopping()
        await stopAll()
    }

    // MARK: The wanted size

    private func reconcile() async {
        let wanted = await wantedSeats()
        reap()
        for seat in wanted where members[seat] == nil {
            if let time = notBefore[seat], time > .now { continue }
            await start(seat)
        }
        let surplus = members.keys.filter { !wanted.contains($0) && !draining.contains($0) }
        for seat in surplus { drain(seat) }
        await askWhoIsReady()
        publish()
        if wanted.allSatisfy({ members[$0]?.isReady == true }) { board.ready() }
    }

    /// A worker for every pool that a pipeline names, unless somebody said how many.
    private func wantedSeats() async -> Set<Seat> {
        var sizes: [String: Int] = [:]
        if let loaded = try? PipelineCatalogue.load(directory: pipelines) {
            for spec in loaded.catalogue.pipelines.values { for stage in spec.stages { sizes[stage.pool] = 1 } }
        }
        do {
            for (pool, desired) in try await ledger.pools() { sizes[pool] = desired }
        } catch {
            logger.warning("pool sizes not read; they stay as they are", metadata: ["error": "\(error)"])
            return Set(members.keys).subtracting(draining).union([Seat(pool: nil, number: 1)])
        }
        var seats: Set<Seat> = [Seat(pool: nil, number: 1)]
        for (pool, size) in sizes { seats.formUnion(await chosenSeats(pool: pool, size: size)) }
        return seats
    }

    /// Which `size` seats of a pool stay: busy workers before idle ones, low numbers before high ones.
    private func chosenSeats(pool: String, size: Int) async -> [Seat] {
        let present = members.keys.filter { $0.pool == pool && !draining.contains($0) }
        guard present.count > size else {
            var seats = Array(present)
            var number = 1
            while seats.count < size {
                let seat = Seat(pool: pool, number: number)
                // A seat whose worker still drains is not free yet.
                if !seats.contains(seat), !draining.contains(seat) { seats.append(seat) }
                number += 1
            }
            return seats
        }
        let busy = Set(((try? await coordinator.workers()) ?? []).filter { $0.busy > 0 }.map(\.id))
        let ordered = present.sorted { left, right in
            let isLeftBusy = busy.contains(workerID(left))
            let isRightBusy = busy.contains(workerID(right))
            return isLeftBusy == isRightBusy ? left.number < right.number : isLeftBusy
        }
        return Array(ordered.prefix(size))
    }

    private func workerID(_ seat: Seat) -> String { seat.name + "@" + ProcessSetup.host }

    // MARK: Processes

    private var logFolder: String { stack.folder + "/log" }

    private func start(_ seat: Seat) async {
        var arguments = seat.pool.map { ["worker", "--pool", $0, "--name", seat.name] } ?? ["scheduler"]
        arguments.append("--until-end-of-input")
        if let config { arguments += ["--config", config] }
        let log = "\(logFolder)/\(seat.name).log"
        do {
            try FileManager.default.createDirectory(atPath: logFolder, withIntermediateDirectories: true)
            // One address in the settings cannot be every member's.
            let port = try await stack.reservePort(for: "http-" + seat.name)
            var environment = ProcessEnvironment.current()
            environment["MARTLET_HTTP_FILE"] = nil
            environment["MARTLET_HTTP"] = "127.0.0.1:\(port)"
            let child = try ChildProcess.spawn(
                OwnExecutable.path, arguments: arguments, environment: environment, stdin: lifeline.input,
                stdout: .file(log), stderr: .file(log))
            members[seat] = Member(
                child: child, identity: ProcessIdentity.of(child.pid), startedAt: .now, started: .now, port: port)
            logger.notice("started", metadata: ["name": "\(seat.name)", "pid": "\(child.pid)"])
            // Unstructured: it lives as long as the process.
            Task { [bell] in
                await child.wait()
                bell.ring()
            }
        } catch {
            logger.error("not started", metadata: ["name": "\(seat.name)", "error": "\(error)"])
            notBefore[seat] = .now + .seconds(5)
        }
    }

    /// Takes note of processes that ended.
    private func reap() {
        for (seat, member) in members {
            guard let status = member.child.exitStatus else { continue }
            members[seat] = nil
            if draining.remove(seat) != nil {
                logger.notice("stopped", metadata: ["name": "\(seat.name)", "status": "\(status)"])
                continue
            }
            restarts[seat, default: 0] += 1
            board.note("\(seat.name) ended with \(status); \(logFolder)/\(seat.name).log tells more")
            var backoff = backoffs[seat] ?? RestartBackoff()
            let delay = backoff.delay(afterUptime: .now - member.startedAt)
            backoffs[seat] = backoff
            notBefore[seat] = .now + delay
            logger.warning(
                "ended; starting it again",
                metadata: ["name": "\(seat.name)", "status": "\(status)", "after": "\(delay)"])
            guard seat.pool != nil else { continue }
            let id = workerID(seat)
            // Unstructured: the fleet must not wait for Redis; without this the leases run out by themselves.
            Task { [coordinator, logger] in
                do {
                    try await coordinator.release(worker: id, keepingInstance: nil)
                } catch {
                    logger.warning("leases not dropped", metadata: ["worker": "\(id)", "error": "\(error)"])
                }
            }
        }
    }

    /// Asks the members that have not been ready yet.
    private func askWhoIsReady() async {
        let ready = await withTaskGroup(of: Seat?.self) { group in
            for (seat, member) in members where !member.isReady {
                group.addTask {
                    await LocalStack.httpStatus(port: member.port, path: "/readyz") == 200 ? seat : nil
                }
            }
            var seats: [Seat] = []
            for await case let seat? in group { seats.append(seat) }
            return seats
        }
        for seat in ready { members[seat]?.isReady = true }
    }

    private func drain(_ seat: Seat) {
        draining.insert(seat)
        members[seat]?.child.signal(SIGTERM)
        logger.notice("draining", metadata: ["name": "\(seat.name)"])
    }

    private func stopAll() async {
        await withTaskGroup(of: Void.self) { group in
            let patience = grace + .seconds(15)
            for (seat, member) in members where seat.pool != nil {
                board.note("stopping \(seat.name)")
                group.addTask { await member.child.terminate(grace: patience, wholeGroup: false) }
            }
        }
        // Last, so that what the workers report on their way out is still taken.
        await members[Seat(pool: nil, number: 1)]?.child.terminate(grace: .seconds(10))
        members = [:]
        publish()
    }

    private func publish() {
        board.set(
            members.sorted { $0.key.name < $1.key.name }.map { seat, member in
                StatusBoard.Process(
                    name: seat.name, pid: member.child.pid, identity: member.identity, port: member.port,
                    isReady: member.isReady, startedAt: member.started, restarts: restarts[seat] ?? 0)
            })
    }

    // MARK: Changes

    /// Until a process ends or a pool's size changes, two seconds at most; less while a new process gets ready, which
    /// it tells nobody by itself.
    private func waitForChange() async {
        let isStarting = members.values.contains { !$0.isReady && .now - $0.startedAt < .seconds(60) }
        let soonest = notBefore.values.filter { $0 > .now }.min().map { $0 - .now }
        let limit = min(isStarting ? .milliseconds(200) : .seconds(2), soonest ?? .seconds(2))
        await bell.wait(atMost: limit)
    }

    private func listen() async {
        while !Task.isCancelled {
            do {
                for try await _ in coordinator.poolChanges() { bell.ring() }
            } catch {
                logger.debug("not told of pool changes; looking every two seconds", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: .seconds(1))
        }
    }
}
