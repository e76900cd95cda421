/// Why a child process could not be started.
package struct ChildProcessError: Error, Sendable, CustomStringConvertible {
    /// The class of the failure; new ones may be added.
    package struct Code: Hashable, Sendable {
        let name: String

        /// The executable is not in any folder of PATH, or the path does not exist.
        package static let executableNotFound = Code(name: "executableNotFound")
        /// A file for the child's input or output could not be opened.
        package static let redirectionFailed = Code(name: "redirectionFailed")
        /// The kernel refused to start the process.
        package static let spawnFailed = Code(name: "spawnFailed")
    }

    /// The class of the failure.
    package let code: Code
    /// What failed and what to do about it. Holds no argument and no environment value, which may be secret.
    package let message: String
    /// The system's error number, 0 when there is none.
    package let errorNumber: Int32

    /// True when the same call may succeed later: the system was out of processes, files or memory.
    package var isRetryable: Bool {
        retryableErrors.contains(errorNumber)
    }

    package var description: String {
        message
    }
}
