/// How a process ended.
package enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
    /// It returned from `main` or called `exit` with this code, 0–255.
    case exited(Int32)
    /// A signal of this number ended it.
    case signalled(Int32)

    /// True for exit code 0 only.
    package var isSuccess: Bool {
        self == .exited(0)
    }

    /// The code a shell would report: the exit code, or 128 plus the signal's number.
    package var shellCode: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let signal): 128 + signal
        }
    }

    package var description: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .signalled(let signal): "signal \(signal) (\(SignalName.of(signal)))"
        }
    }
}
