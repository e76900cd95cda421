import Pipeline

enum Age {
    /// A span of time in one or two units: `4.2 s`, `3 min 10 s`, `2 h 5 min`, `3 d`.
    static func text(from start: Timestamp, to end: Timestamp) -> String {
        text(seconds: max(0, end.seconds - start.seconds))
    }

    static func text(seconds: Double) -> String {
        if seconds < 0.9995 { return "\(Int((seconds * 1_000).rounded())) ms" }
        if seconds < 59.95 { return "\((seconds * 10).rounded() / 10) s" }
        let whole = Int(seconds.rounded())
        if whole < 3_600 { return "\(whole / 60) min \(whole % 60) s" }
        if whole < 86_400 { return "\(whole / 3_600) h \(whole % 3_600 / 60) min" }
        return "\(whole / 86_400) d"
    }
}

extension String {
    /// At most `width` characters, on one line.
    func cut(to width: Int) -> String {
        let line = split(whereSeparator: \.isNewline).joined(separator: " ")
        return line.count <= width ? line : line.prefix(max(0, width - 1)) + "…"
    }
}
