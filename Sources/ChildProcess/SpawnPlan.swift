import CLinux
import Glibc

/// The descriptors of one spawn: opened here, closed here whatever happens.
final class SpawnPlan {
    private var actions = posix_spawn_file_actions_t()
    /// Ends that only the child needs; closed in this process once it has started.
    private var childEnds: [Int32] = []
    private var stdoutPipe: Int32?
    private var stderrPipe: Int32?

    init(
        stdin: InputSource, stdout: OutputTarget, stderr: OutputTarget, workingDirectory: String?
    ) throws(ChildProcessError) {
        posix_spawn_file_actions_init(&actions)
        // From here on `deinit` runs even when a later step throws: every property has its value.
        let input = try open(stdin)
        let (output, outputPipe) = try open(stdout, inherited: 1)
        stdoutPipe = outputPipe
        let (errors, errorPipe) = try open(stderr, inherited: 2)
        stderrPipe = errorPipe
        // A source that is itself 0, 1 or 2 would be overwritten by an earlier dup2: move it out of the way first.
        let sources = try [input, output, errors].map(aboveStandard)
        for (target, source) in sources.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, source, Int32(target))
        }
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        if let workingDirectory {
            posix_spawn_file_actions_addchdir_np(&actions, workingDirectory)
        }
    }

    deinit {
        posix_spawn_file_actions_destroy(&actions)
        for descriptor in childEnds + [stdoutPipe, stderrPipe].compactMap(\.self) {
            close(descriptor)
        }
    }

    /// Hands the read end of standard output's pipe to the caller.
    func takeStdout() -> Int32? {
        defer { stdoutPipe = nil }
        return stdoutPipe
    }

    /// Hands the read end of standard error's pipe to the caller.
    func takeStderr() -> Int32? {
        defer { stderrPipe = nil }
        return stderrPipe
    }

    /// Starts the program and closes the child's ends in this process.
    func start(_ path: String, _ arguments: [String], _ environment: [String]) throws(ChildProcessError) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(MARTLET_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var pid: pid_t = 0
        let result = withCStrings(arguments) { argv in
            withCStrings(environment) { envp in
                posix_spawn(&pid, path, &actions, &attributes, argv, envp)
            }
        }
        for descriptor in childEnds {
            close(descriptor)
        }
        childEnds = []
        guard result == 0 else {
            throw ChildProcessError(
                code: .spawnFailed, message: "cannot start \(path): \(systemMessage(result))", errorNumber: result)
        }
        return pid
    }

    private func open(_ source: InputSource) throws(ChildProcessError) -> Int32 {
        switch source {
        case .null: try openFile("/dev/null", O_RDONLY)
        case .file(let path): try openFile(path, O_RDONLY)
        case .bytes(let bytes): try fileInMemory(bytes)
        case .descriptor(let descriptor): descriptor
        }
    }

    private func open(_ target: OutputTarget, inherited: Int32) throws(ChildProcessError) -> (Int32, Int32?) {
        switch target {
        case .null: return (try openFile("/dev/null", O_WRONLY), nil)
        case .file(let path): return (try openFile(path, O_WRONLY | O_CREAT | O_APPEND), nil)
        case .inherit: return (inherited, nil)
        case .descriptor(let descriptor): return (descriptor, nil)
        case .pipe:
            var ends: [Int32] = [-1, -1]
            guard martlet_pipe(&ends) == 0 else { throw redirectionError("a pipe", errno) }
            childEnds.append(ends[1])
            return (ends[1], ends[0])
        }
    }

    private func openFile(_ path: String, _ flags: Int32) throws(ChildProcessError) -> Int32 {
        let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw redirectionError("'\(path)'", errno) }
        childEnds.append(descriptor)
        return descriptor
    }

    private func fileInMemory(_ bytes: [UInt8]) throws(ChildProcessError) -> Int32 {
        let descriptor = memfd_create("stdin", 1)
        guard descriptor >= 0 else { throw redirectionError("a file in memory", errno) }
        childEnds.append(descriptor)
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress?.advanced(by: offset), $0.count - offset, off_t(offset))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw redirectionError("a file in memory", errno) }
            offset += count
        }
        return descriptor
    }

    private func aboveStandard(_ descriptor: Int32) throws(ChildProcessError) -> Int32 {
        guard descriptor <= 2 else { return descriptor }
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw redirectionError("descriptor \(descriptor)", errno) }
        childEnds.append(copy)
        return copy
    }

    private func redirectionError(_ what: String, _ number: Int32) -> ChildProcessError {
        ChildProcessError(
            code: .redirectionFailed,
            message: "cannot use \(what) as a child's input or output: \(systemMessage(number))", errorNumber: number)
    }
}

/// Calls `body` with a null-terminated array of C strings that lives for the call.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    let array = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() {
        (array + index).initialize(to: strdup(string))
    }
    (array + strings.count).initialize(to: nil)
    defer {
        for index in strings.indices {
            free(array[index])
        }
        array.deallocate()
    }
    return body(array)
}
