import CLinux
import Glibc
import Synchronization

/// A serial executor on a thread of its own that polls one socket between jobs.
///
/// A C client library whose handle must stay on one thread (librabbitmq, hiredis, libpq) is owned
/// by an actor whose `unownedExecutor` is an instance of this class: actor methods, socket
/// readiness and timers then all run on the same thread, so the handle is never shared and no lock
/// guards it. The loop runs every job that waits, fires the timers that are due, and sleeps in
/// `poll(2)` on an eventfd (new jobs) and the watched socket.
///
/// Not for work that blocks or computes for long: it holds up everything else on its connection.
package final class SocketExecutor: SerialExecutor, @unchecked Sendable {
    // Proof for `@unchecked Sendable`: `inbox` is a mutex; `wakeup` never changes; `watched`,
    // `timers` and `nextTimer` are touched on the executor's thread only, which every method that
    // uses them checks. After `stop()` the jobs run on a drain thread that exists one at a time
    // (`Inbox.phase` hands the role over under the mutex), so the accesses stay ordered.

    /// Identifies a timer for `cancelTimer(_:)`.
    package struct TimerID: Hashable, Sendable {
        let number: UInt64
    }

    private struct Inbox {
        enum Phase { case running, stopping, drained, draining }
        var jobs: [UnownedJob] = []
        var phase = Phase.running
        var thread: pthread_t?
        /// The thread is in `poll`, or about to be: a new job must write to the eventfd. While it is
        /// false the thread looks at this struct again before it sleeps, so the write is saved.
        var isAsleep = false
        var isSignalled = false

        /// Whether the caller has to wake the thread; the first of several callers does.
        mutating func takeSleep() -> Bool {
            defer { isAsleep = false }
            return isAsleep
        }
    }

    private struct Watch {
        var descriptor: Int32
        var events: Int16
        var handler: (Int16) -> Void
    }

    private struct Timer {
        var deadline: ContinuousClock.Instant
        var handler: () -> Void
    }

    private let inbox = Mutex(Inbox())
    private let wakeup: Int32
    private var watched: Watch?
    private var signalHandler: (() -> Void)?
    private var timers: [TimerID: Timer] = [:]
    private var nextTimer: UInt64 = 0

    /// Starts the thread.
    /// - Parameter name: the thread's name as `top -H` shows it; the kernel keeps 15 bytes.
    package init(name: String) {
        wakeup = martlet_eventfd()
        precondition(wakeup >= 0, "eventfd failed: errno \(errno)")
        startThread(named: String(name.prefix(15))) { $0.loop() }
    }

    deinit {
        close(wakeup)
    }

    // MARK: SerialExecutor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let (needsDrainThread, needsWake) = inbox.withLock { inbox -> (Bool, Bool) in
            inbox.jobs.append(job)
            guard inbox.phase == .drained else { return (false, inbox.takeSleep()) }
            inbox.phase = .draining
            return (true, false)
        }
        if needsDrainThread {
            startThread(named: "drain") { $0.drain() }
        } else if needsWake {
            wake()
        }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    package func checkIsolated() {
        precondition(isOnThread, "called off the connection's thread")
    }

    package func isIsolatingCurrentContext() -> Bool? {
        isOnThread
    }

    // MARK: Socket and timers (on the executor's thread only)

    /// Calls `handler` with the ready events whenever `poll` reports any on `descriptor`.
    /// Replaces the watch before it. Level-triggered: a handler must consume what woke it.
    /// - Parameters:
    ///   - descriptor: an open socket. The caller unwatches it before closing it.
    ///   - events: `POLLIN`, `POLLOUT` or both.
    package func watch(_ descriptor: Int32, events: Int16, _ handler: @escaping (Int16) -> Void) {
        checkIsolated()
        watched = Watch(descriptor: descriptor, events: events, handler: handler)
    }

    /// Changes which events the current watch waits for.
    package func setWatchedEvents(_ events: Int16) {
        checkIsolated()
        watched?.events = events
    }

    package func unwatch() {
        checkIsolated()
        watched = nil
    }

    /// Calls `handler` on this thread after each `signal()`; signals in quick succession share one call.
    package func onSignal(_ handler: @escaping () -> Void) {
        checkIsolated()
        signalHandler = handler
    }

    /// Calls `handler` once, on this thread, when `deadline` has passed.
    @discardableResult
    package func setTimer(
        at deadline: ContinuousClock.Instant, _ handler: @escaping () -> Void
    ) -> TimerID {
        checkIsolated()
        nextTimer += 1
        let id = TimerID(number: nextTimer)
        timers[id] = Timer(deadline: deadline, handler: handler)
        return id
    }

    package func cancelTimer(_ id: TimerID) {
        checkIsolated()
        timers[id] = nil
    }

    /// Asks for a call of the `onSignal` handler: the cheap way, from any thread and without a task, to
    /// say that a queue which this executor's actor reads is no longer empty. Lost after `stop()`.
    package func signal() {
        let needsWake = inbox.withLock { inbox -> Bool in
            inbox.isSignalled = true
            return inbox.takeSleep()
        }
        if needsWake { wake() }
    }

    /// Ends the thread once the jobs already queued have run. Jobs that arrive later still run, in
    /// order, on a short-lived thread, so an actor that outlives its connection stays usable.
    package func stop() {
        inbox.withLock { inbox in
            guard inbox.phase == .running else { return }
            inbox.phase = .stopping
            inbox.isAsleep = false
        }
        wake()
    }

    // MARK: The loop

    private var isOnThread: Bool {
        inbox.withLock { inbox in
            guard let thread = inbox.thread else { return false }
            return pthread_equal(thread, pthread_self()) != 0
        }
    }

    private func loop() {
        while true {
            runJobs()
            runSignal()
            fireTimers()
            let finished = inbox.withLock { inbox -> Bool in
                guard inbox.phase == .stopping, inbox.jobs.isEmpty else { return false }
                inbox.phase = .drained
                inbox.thread = nil
                return true
            }
            if finished {
                watched = nil
                signalHandler = nil
                timers = [:]
                return
            }
            poll()
        }
    }

    private func drain() {
        while true {
            runJobs()
            let finished = inbox.withLock { inbox -> Bool in
                guard inbox.jobs.isEmpty else { return false }
                inbox.phase = .drained
                inbox.thread = nil
                return true
            }
            if finished { return }
        }
    }

    private func runJobs() {
        let jobs = inbox.withLock { inbox -> [UnownedJob] in
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
        for job in jobs {
            job.runSynchronously(on: asUnownedSerialExecutor())
        }
    }

    private func runSignal() {
        let isSignalled = inbox.withLock { inbox -> Bool in
            defer { inbox.isSignalled = false }
            return inbox.isSignalled
        }
        if isSignalled { signalHandler?() }
    }

    private func fireTimers() {
        guard !timers.isEmpty else { return }
        let now = ContinuousClock.now
        let due = timers.filter { $0.value.deadline <= now }.sorted { $0.value.deadline < $1.value.deadline }
        for (id, timer) in due where timers[id] != nil {
            // A handler may cancel a timer that was due in the same turn, hence the check above.
            timers[id] = nil
            timer.handler()
        }
    }

    private func poll() {
        let timeout = pollTimeout()
        let (wakeupEvents, socketEvents) = withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { both in
            both[0] = pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)
            // poll(2) skips a negative descriptor.
            both[1] = pollfd(fd: watched?.descriptor ?? -1, events: watched?.events ?? 0, revents: 0)
            let count = Glibc.poll(both.baseAddress, 2, timeout)
            return count > 0 ? (both[0].revents, both[1].revents) : (0, 0)
        }
        if timeout != 0 { inbox.withLock { $0.isAsleep = false } }
        if wakeupEvents != 0 {
            var value: UInt64 = 0
            _ = read(wakeup, &value, 8)
        }
        if socketEvents != 0, let watched { watched.handler(socketEvents) }
    }

    /// Milliseconds until the next timer, rounded up so that the loop never spins before it; -1 for none.
    /// Marks the thread asleep unless the answer is 0.
    private func pollTimeout() -> Int32 {
        var timeout: Int32 = -1
        if let next = timers.values.lazy.map(\.deadline).min() {
            let left = ContinuousClock.now.duration(to: next)
            guard left > .zero else { return 0 }
            let (seconds, attoseconds) = left.components
            timeout = Int32(min(seconds * 1_000 + attoseconds / 1_000_000_000_000_000 + 1, 3_600_000))
        }
        return inbox.withLock { inbox in
            guard inbox.jobs.isEmpty, !inbox.isSignalled, inbox.phase == .running else { return 0 }
            inbox.isAsleep = true
            return timeout
        }
    }

    private func wake() {
        var one: UInt64 = 1
        // EAGAIN means that the counter is full, so the thread is about to wake anyway.
        _ = write(wakeup, &one, 8)
    }

    private func startThread(named name: String, _ body: @escaping @Sendable (SocketExecutor) -> Void) {
        final class Start: Sendable {
            let executor: SocketExecutor
            let name: String
            let body: @Sendable (SocketExecutor) -> Void
            init(executor: SocketExecutor, name: String, body: @escaping @Sendable (SocketExecutor) -> Void) {
                self.executor = executor
                self.name = name
                self.body = body
            }
        }
        let start = Unmanaged.passRetained(Start(executor: self, name: name, body: body))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // The C libraries decode what peers nest (AMQP tables: 25,000 levels fit a frame) by recursion. The
        // default follows `ulimit -s`; this much is address space only until it is used.
        pthread_attr_setstacksize(&attributes, 8 << 20)
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                start.executor.inbox.withLock { $0.thread = pthread_self() }
                _ = martlet_name_thread(start.name)
                start.body(start.executor)
                return nil
            }, start.toOpaque())
        precondition(status == 0, "pthread_create failed: \(status)")
    }
}
