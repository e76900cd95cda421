import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A few threads of their own for reading, writing and hashing files.
///
/// Disk calls block and a digest of 16 MiB computes for milliseconds: on the cooperative pool, which
/// has one thread per core, either would hold up every other task of the process. Threads start with the
/// first job and end when none came for a while, so a process that moves no bytes pays nothing.
package final class FileThreads: TaskExecutor {
    /// Shared by all clients of the process: more threads than cores would not hash faster.
    package static let shared = FileThreads(limit: max(2, min(8, sysconf(Int32(_SC_NPROCESSORS_ONLN)))))

    private struct State {
        var jobs: [UnownedJob] = []
        /// Index of the next job; the array is compacted when it runs empty.
        var next = 0
        var threads = 0
        var idle = 0
    }

    private let state = Mutex(State())
    private let wakeups: Semaphore
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
        wakeups = Semaphore()
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        enum Step { case wake, start, none }
        let step = state.withLock { state -> Step in
            state.jobs.append(job)
            if state.idle > 0 {
                state.idle -= 1
                return .wake
            }
            if state.threads < limit {
                state.threads += 1
                return .start
            }
            return .none
        }
        switch step {
        case .wake: wakeups.signal()
        case .start: startThread()
        case .none: break
        }
    }

    /// Runs `body` on one of the threads; everything it awaits in the same task returns there.
    package static func run<Result: Sendable>(
        _ body: @Sendable () async throws -> Result
    ) async rethrows -> Result {
        try await withTaskExecutorPreference(shared, operation: body)
    }

    private func startThread() {
        // The thread owns a reference for as long as it runs.
        let box = Unmanaged.passRetained(self)
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        #if canImport(Glibc)
            var thread = pthread_t()
            let status = pthread_create(
                &thread, &attributes, { argument in FileThreads.main(argument) }, box.toOpaque())
        #else
            var thread: pthread_t?
            let status = pthread_create(
                &thread, &attributes, { argument in FileThreads.main(argument) }, box.toOpaque())
        #endif
        // Out of threads: the jobs would wait for ever, and there is no caller to tell.
        precondition(status == 0, "pthread_create failed: errno \(status)")
    }

    private static func main(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let argument else { return nil }
        Unmanaged<FileThreads>.fromOpaque(argument).takeRetainedValue().loop()
        return nil
    }

    private func loop() {
        while true {
            enum Step {
                case run(UnownedJob)
                case wait
            }
            let step = state.withLock { state -> Step in
                if state.next < state.jobs.count {
                    let job = state.jobs[state.next]
                    state.next += 1
                    if state.next == state.jobs.count {
                        state.jobs.removeAll(keepingCapacity: true)
                        state.next = 0
                    }
                    return .run(job)
                }
                state.idle += 1
                return .wait
            }
            switch step {
            case .run(let job):
                job.runSynchronously(on: asUnownedTaskExecutor())
            case .wait:
                if wakeups.wait(seconds: 10) { continue }
                // `enqueue` takes an idle thread off the count before it signals. If none is counted any
                // more, a signal for one of us is on its way: stay.
                let leaves = state.withLock { state -> Bool in
                    guard state.idle > 0 else { return false }
                    state.idle -= 1
                    state.threads -= 1
                    return true
                }
                if leaves { return }
                wakeups.waitForever()
            }
        }
    }
}
