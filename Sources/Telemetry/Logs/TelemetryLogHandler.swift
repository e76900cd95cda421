package import Logging

/// The log handler of every Martlet process.
package struct TelemetryLogHandler: LogHandler {
    /// How a record becomes bytes.
    enum Encoding: Sendable {
        case json
        case console(colours: Bool)
    }

    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let encoding: Encoding
    private let sink: LogSink

    init(
        label: String, level: Logger.Level, encoding: Encoding, sink: LogSink, provider: Logger.MetadataProvider?
    ) {
        self.label = label
        self.encoding = encoding
        self.sink = sink
        logLevel = level
        metadataProvider = provider
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var merged = metadata
        if let provided = metadataProvider?.get() {
            merged.merge(provided) { $1 }
        }
        if let own = event.metadata {
            merged.merge(own) { $1 }
        }
        let record = LogRecord(
            level: event.level, label: label, message: event.message.description, error: event.error, metadata: merged)
        switch encoding {
        case .json: sink.write(JSONLine.encode(record))
        case .console(let colours): sink.write(ConsoleLine.encode(record, colours: colours))
        }
    }
}
