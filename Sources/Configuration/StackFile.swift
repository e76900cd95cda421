import Glibc

/// `stack.env`: what the local stack tells the other commands, as `KEY=VALUE` lines. Holds secrets, so only its
/// owner may read it.
package enum StackFile {
    package static let name = "stack.env"
    static let maximumBytes = 1 << 16

    struct Entry {
        var value: String
        var line: Int
    }

    package static func path(state: String) -> String {
        state.hasSuffix("/") ? state + name : state + "/" + name
    }

    /// Replaces the file in one step, with mode 0600, so that a reader sees all of it or none.
    /// - Throws: ``ConfigurationError`` for a name or value that does not fit on a line, or when the file cannot be
    ///   written.
    package static func write(_ values: [String: String], to path: String) throws(ConfigurationError) {
        var text = "# Written by martlet up. Holds secrets; do not commit.\n"
        for key in values.keys.sorted() {
            let value = values[key, default: ""]
            guard isName(key), !value.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D || $0 == 0 }) else {
                throw ConfigurationError(
                    .invalid, source: path, "\(key.prefix(80)) does not fit on a line of KEY=VALUE")
            }
            text += key + "=" + value + "\n"
        }
        let temporary = path + ".\(getpid()).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw unwritable(path) }
        defer { close(descriptor) }
        // A file that was there before keeps its mode.
        guard fchmod(descriptor, 0o600) == 0, writeAll(Array(text.utf8), to: descriptor), fsync(descriptor) == 0,
            rename(temporary, path) == 0
        else {
            let error = unwritable(path)
            unlink(temporary)
            throw error
        }
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// - Throws: ``ConfigurationError`` naming the line that is not `KEY=VALUE`.
    static func parse(_ text: String, file: String) throws(ConfigurationError) -> [String: Entry] {
        var entries: [String: Entry] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let content = line.drop { $0 == " " || $0 == "\t" }
            guard !content.isEmpty, !content.hasPrefix("#") else { continue }
            let parts = content.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, isName(String(parts[0])) else {
                throw ConfigurationError(
                    .malformed, source: file, at: SourcePosition(line: index + 1, column: 1),
                    "this line is not KEY=VALUE: run martlet up again, or remove the file")
            }
            entries[String(parts[0])] = Entry(value: String(parts[1]), line: index + 1)
        }
        return entries
    }

    private static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return text.utf8.allSatisfy { byte in
            (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F
        }
    }

    private static func unwritable(_ path: String) -> ConfigurationError {
        let cause = String(cString: strerror(errno))
        return ConfigurationError(.unreadable, source: path, "cannot be written: \(cause)")
    }
}
