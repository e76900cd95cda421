import CLinux
import Glibc

/// The stack of a helper thread in bytes: it waits, reads and copies, and nothing recursive.
private let helperStackSize = 256 * 1024

private final class ThreadBody {
    let run: () -> Void

    init(_ run: @escaping () -> Void) {
        self.run = run
    }
}

/// Starts a detached thread.
/// - Parameter name: as `top -H` shows it; the kernel keeps 15 bytes.
func startThread(named name: String, _ body: @escaping @Sendable () -> Void) throws(ChildProcessError) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, helperStackSize)
    let boxed = Unmanaged.passRetained(
        ThreadBody {
            _ = martlet_name_thread(name); body()
        })
    var thread = pthread_t()
    let result = pthread_create(
        &thread, &attributes,
        { argument in
            if let argument {
                Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
            }
            return nil
        }, boxed.toOpaque())
    guard result == 0 else {
        boxed.release()
        throw ChildProcessError(
            code: .spawnFailed, message: "cannot start a thread to watch a child process: \(systemMessage(result))",
            errorNumber: result)
    }
}
