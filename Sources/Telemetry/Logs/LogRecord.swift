import Logging

/// One line to be written: its metadata merged, flattened, redacted and bounded.
struct LogRecord {
    /// Bytes of a message and of one metadata value that are kept.
    static let messageLimit = 16_384
    static let valueLimit = 4_096
    /// Metadata entries that are kept.
    static let fieldLimit = 64

    let clock: LogClock
    let level: Logger.Level
    let label: String
    let message: String
    /// In the order of their keys; nested keys joined by a dot.
    let fields: [(key: String, value: String)]

    init(
        clock: LogClock = .now(), level: Logger.Level, label: String, message: String, error: (any Error)?,
        metadata: Logger.Metadata
    ) {
        self.clock = clock
        self.level = level
        self.label = label
        self.message = Self.bounded(Redaction.maskURLs(in: message), Self.messageLimit)
        var fields: [(key: String, value: String)] = []
        for (key, value) in metadata {
            Self.flatten(key, value, into: &fields)
        }
        if let error, metadata[LogKey.error] == nil {
            Self.flatten(LogKey.error, .string("\(error)"), into: &fields)
        }
        fields.sort { $0.key < $1.key }
        self.fields = Array(fields.prefix(Self.fieldLimit))
    }

    private static func flatten(
        _ key: String, _ value: Logger.Metadata.Value, into fields: inout [(key: String, value: String)]
    ) {
        if Redaction.isSecret(key: key) {
            fields.append((key, Redaction.mask))
            return
        }
        switch value {
        case .dictionary(let nested):
            for (inner, value) in nested { flatten("\(key).\(inner)", value, into: &fields) }
        case .array(let values):
            for (index, value) in values.enumerated().prefix(fieldLimit) {
                flatten("\(key).\(index)", value, into: &fields)
            }
        case .string, .stringConvertible:
            fields.append((key, bounded(Redaction.maskURLs(in: value.description), valueLimit)))
        }
    }

    private static func bounded(_ text: String, _ limit: Int) -> String {
        let count = text.utf8.count
        guard count > limit else { return text }
        // A scalar cut in half decodes as U+FFFD.
        return String(decoding: text.utf8.prefix(limit), as: UTF8.self) + "… (\(count) bytes)"
    }
}
