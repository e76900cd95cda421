import Pipeline

/// Checks the file of a batch as it is read, and divides it. Pure.
struct BatchCheck {
    private static let faultLimit = 100

    private let endpoint: String
    private let configuration: BatchConfiguration
    private var splitter = LineSplitter()
    private var names: Set<String> = []
    private(set) var parts: [BatchPart] = []
    /// At most so many as are worth reading.
    private(set) var faults: [Batch.Fault] = []
    /// Lines with something in them.
    private(set) var count = 0
    private(set) var isHopeless = false

    init(endpoint: String, configuration: BatchConfiguration) {
        self.endpoint = endpoint
        self.configuration = configuration
    }

    mutating func feed(_ piece: [UInt8]) {
        var lines: [LineSplitter.Line] = []
        splitter.feed(piece) { lines.append($0) }
        for line in lines { take(line) }
        if splitter.pending > configuration.lineBytes, !isHopeless {
            giveUp(
                Batch.Fault(
                    code: "line_too_long", line: count + 1, "the line has more than \(configuration.lineBytes) bytes"))
        }
    }

    mutating func finish() {
        guard !isHopeless else { return }
        if let line = splitter.finish() { take(line) }
        if count == 0, faults.isEmpty {
            faults.append(Batch.Fault(code: "empty_file", line: nil, "the file has no requests"))
        }
    }

    private mutating func take(_ line: LineSplitter.Line) {
        guard !isHopeless, !line.isBlank else { return }
        count += 1
        guard count <= Batch.maximumLines else {
            giveUp(
                Batch.Fault(
                    code: "too_many_lines", line: line.number,
                    "the file has more than \(Batch.maximumLines) requests: divide it"))
            return
        }
        do throws(Batch.Fault) {
            guard line.bytes.count <= configuration.lineBytes else {
                throw Batch.Fault(
                    code: "line_too_long", line: line.number,
                    "the line has more than \(configuration.lineBytes) bytes")
            }
            let request = try BatchLine(line.bytes, line: line.number, endpoint: endpoint)
            guard names.insert(request.customID).inserted else {
                throw Batch.Fault(
                    code: "duplicate_custom_id", line: line.number,
                    "another line has the custom_id \"\(request.customID)\"", parameter: "custom_id")
            }
        } catch {
            faults.append(error)
            if faults.count >= Self.faultLimit { isHopeless = true }
            return
        }
        add(line)
    }

    private mutating func giveUp(_ fault: Batch.Fault) {
        faults.append(fault)
        isHopeless = true
    }

    private var partBytes: Int64 {
        let bytes = configuration.partBytes
        return Int64(endpoint == "/v1/embeddings" ? bytes / configuration.embeddingParts : bytes)
    }

    private mutating func add(_ line: LineSplitter.Line) {
        let end = line.offset + Int64(line.bytes.count)
        if let last = parts.indices.last, parts[last].lines < configuration.partLines,
            end - parts[last].offset <= partBytes
        {
            parts[last].lines += 1
            parts[last].bytes = end - parts[last].offset
        } else {
            parts.append(
                BatchPart(
                    number: parts.count, offset: line.offset, bytes: Int64(line.bytes.count), firstLine: line.number,
                    lines: 1))
        }
    }
}
