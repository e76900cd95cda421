import Glibc

/// Where a command writes.
enum Terminal {
    static var isInteractive: Bool {
        isatty(STDOUT_FILENO) == 1 && getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    /// Columns; 100 where nobody can tell.
    static var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return 100 }
        return Int(size.ws_col)
    }

    static func complain(_ text: String) {
        write(safe(text, for: STDERR_FILENO) + "\n", to: STDERR_FILENO)
    }

    /// `text` without what would drive a terminal, where it goes to one: messages and logs hold what strangers sent.
    static func safe(_ text: String, for descriptor: Int32 = STDOUT_FILENO) -> String {
        isatty(descriptor) == 1 ? text.escapingControls : text
    }

    /// Prints text that may hold what strangers sent.
    static func show(_ text: String, terminator: String = "\n") {
        print(safe(text), terminator: terminator)
    }

    static func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            // Nobody reads any more: there is no one left to tell.
            guard count > 0 || errno == EINTR else { return }
            if count > 0 { bytes = bytes.dropFirst(count) }
        }
    }
}
