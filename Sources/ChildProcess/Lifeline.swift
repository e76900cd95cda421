import CLinux
import Glibc

/// A standard input for children on which nothing is ever written, and which ends when this process does, however it
/// ends: a child that reads it notices even SIGKILL.
///
/// Only this process has the other end: no child inherits it.
package final class Lifeline: Sendable {
    private let childEnd: Int32
    private let ownEnd: Int32

    /// - Throws: `redirectionFailed` when this process has no descriptors left.
    package init() throws(ChildProcessError) {
        var ends: [Int32] = [-1, -1]
        guard martlet_pipe(&ends) == 0 else {
            throw ChildProcessError(
                code: .redirectionFailed, message: "no pipe for the children's input: \(systemMessage(errno))",
                errorNumber: errno)
        }
        (childEnd, ownEnd) = (ends[0], ends[1])
    }

    deinit {
        close(childEnd)
        close(ownEnd)
    }

    /// For `ChildProcess.spawn`, any number of times.
    package var input: InputSource { .descriptor(childEnd) }
}
