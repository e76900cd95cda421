import Glibc
import Logging
import Testing

@testable import Telemetry

@Suite(.timeLimit(.minutes(4))) struct TelemetryLogHandlerTests {
    /// A logger that writes to a file without a name.
    private func withLogger(
        level: Logger.Level = .info, _ body: (Logger) async throws -> Void
    ) async throws -> [String] {
        let file = try #require(tmpfile())
        defer { fclose(file) }
        let handler = TelemetryLogHandler(
            label: "test", level: level, encoding: .json, sink: LogSink(descriptor: fileno(file)),
            provider: TraceContext.metadataProvider)
        try await body(Logger(label: "test") { _ in handler })
        rewind(file)
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
            text.append(contentsOf: buffer[..<count])
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    @Test func mergesMetadataInOrderOfPrecedence() async throws {
        let lines = try await withLogger { logger in
            var logger = logger
            logger[metadataKey: LogKey.pool] = "train"
            logger[metadataKey: LogKey.worker] = "w1"
            logger.info("hello", metadata: [LogKey.pool: "ingest"])
        }
        let line = try #require(lines.first)
        #expect(line.hasSuffix(#""message":"hello","pool":"ingest","worker":"w1"}"#))
    }

    @Test func addsTheCurrentTrace() async throws {
        let trace = TraceContext.root()
        let lines = try await withLogger { logger in
            TraceContext.$current.withValue(trace) { logger.info("traced") }
            logger.info("untraced")
        }
        #expect(lines.count == 2)
        #expect(
            lines[0].contains("\"trace_id\":\"\(trace.traceID)\"")
                && lines[0].contains("\"span_id\":\"\(trace.spanID)\""))
        #expect(!lines[1].contains("trace_id"))
    }

    @Test func doesNotEvaluateWhatIsBelowTheLevel() async throws {
        var evaluations = 0
        func costly() -> String {
            evaluations += 1
            return "costly"
        }
        let lines = try await withLogger { logger in
            logger.debug("\(costly())", metadata: ["k": "\(costly())"])
            logger.error("\(costly())")
        }
        #expect(evaluations == 1 && lines.count == 1)
    }

    @Test func linesOfManyTasksNeverMix() async throws {
        let filler = String(repeating: "x", count: 9_000)
        let lines = try await withLogger { logger in
            await withTaskGroup { group in
                for task in 0..<16 {
                    group.addTask {
                        for line in 0..<50 { logger.info("\(filler)", metadata: ["n": "\(task)-\(line)"]) }
                    }
                }
            }
        }
        #expect(lines.count == 800)
        #expect(lines.allSatisfy { $0.hasPrefix("{\"time\":") && $0.hasSuffix("\"}") })
        #expect(Set(lines.map { $0.suffix(10) }).count == 800)
    }
}
