import Logging

/// A log record for a person at a terminal: time, level, message, then the metadata.
enum ConsoleLine {
    static func encode(_ record: LogRecord, colours: Bool) -> [UInt8] {
        func paint(_ text: String, _ code: String) -> String {
            colours ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
        }
        let (name, code) = style(record.level)
        var line = "\(paint(record.clock.time, "2")) \(paint(name, code)) \(visible(record.message))"
        for (key, value) in record.fields {
            line += " " + paint("\(visible(key))=", "2") + quoted(visible(value))
        }
        line += paint(" (\(visible(record.label)))", "2") + "\n"
        return Array(line.utf8)
    }

    private static func style(_ level: Logger.Level) -> (String, String) {
        switch level {
        case .trace: ("TRACE", "2")
        case .debug: ("DEBUG", "2")
        case .info: ("INFO ", "32")
        case .notice: ("NOTE ", "36")
        case .warning: ("WARN ", "33")
        case .error: ("ERROR", "31")
        case .critical: ("CRIT ", "1;31")
        }
    }

    private static func quoted(_ text: String) -> String {
        text.isEmpty || text.contains(" ") ? "\"\(text)\"" : text
    }

    /// Control characters spelt out: a message can neither forge a line nor drive the terminal.
    private static func visible(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where isControl(scalar): result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
    }
}
