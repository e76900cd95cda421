/// Why the local stack, or one of its servers, could not do what was asked.
package struct StackError: Error, Sendable, CustomStringConvertible {
    /// The class of the failure; new ones may be added.
    package struct Code: Hashable, Sendable {
        let name: String

        /// A program that a server needs is not installed.
        package static let missingExecutable = Code(name: "missingExecutable")
        /// A file or folder of the stack could not be read or written, or holds something unexpected.
        package static let dataFolder = Code(name: "dataFolder")
        /// A server ended, or did not answer in time, while it was being started.
        package static let startFailed = Code(name: "startFailed")
        /// A helper program (`initdb`, `psql`) failed.
        package static let preparationFailed = Code(name: "preparationFailed")
        /// Another invocation holds the stack's lock.
        package static let locked = Code(name: "locked")
        /// A server did not end although it was killed.
        package static let stopFailed = Code(name: "stopFailed")
        /// The stack has not been started yet in this data folder.
        package static let notStarted = Code(name: "notStarted")
    }

    /// The class of the failure.
    package let code: Code
    /// The server concerned, when it is one.
    package let server: ServerName?
    /// What failed, where, and what to do; holds no secret.
    package let message: String
    /// The end of the server's log, when it helps.
    package let logTail: [String]

    init(_ code: Code, server: ServerName? = nil, _ message: String, logTail: [String] = []) {
        self.code = code
        self.server = server
        self.message = message
        self.logTail = logTail
    }

    /// True when the same call may succeed later without anything being changed.
    package var isRetryable: Bool {
        code == .locked || code == .startFailed
    }

    package var description: String {
        let head = server.map { "\($0.title): " } ?? ""
        let tail = logTail.isEmpty ? "" : "\n  | " + logTail.joined(separator: "\n  | ")
        return head + message + tail
    }
}
