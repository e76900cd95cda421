import Glibc

/// Environment variables.
package enum ProcessEnvironment {
    /// This process's variables.
    package static func current() -> [String: String] {
        var result: [String: String] = [:]
        var cursor = environ
        while let entry = cursor.pointee {
            let text = String(cString: entry)
            if let split = text.firstIndex(of: "=") {
                result[String(text[..<split])] = String(text[text.index(after: split)...])
            }
            cursor += 1
        }
        return result
    }

    /// The variables a program needs to run at all, without this process's settings and secrets:
    /// `PATH`, `HOME`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR`, `USER` as far as they are set.
    package static func minimal() -> [String: String] {
        let kept: Set = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER"]
        return current().filter { kept.contains($0.key) }
    }
}
