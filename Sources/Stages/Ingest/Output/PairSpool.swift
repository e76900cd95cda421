import Foundation
import Pipeline

/// Pairs in a temporary file, so that answers to one question find each other without being held in memory.
///
/// The file has no name: it is gone with the descriptor, however the process ends.
final class PairSpool {
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var length: Int64 = 0
    private var window: [UInt8] = []
    private var windowStart: Int64 = 0
    private static let windowBytes = 1 << 20

    init(folder: String) throws(IngestError) {
        var template = Array((folder + "/ingest-spool-XXXXXX").utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw Self.fault(folder, errno) }
        unlink(template)
    }

    deinit { close(descriptor) }

    /// Appends one pair and returns where it begins.
    func append(_ pair: QuestionAnswer) throws -> Int64 {
        let offset = length + Int64(buffer.count)
        let value = RecordValue.array([
            .string(pair.question), .string(pair.answer), .string(pair.sourceID), .object(pair.extras),
        ])
        JSONWriter.append(value, to: &buffer)
        buffer.append(0x0A)
        if buffer.count >= 256 << 10 { try flush() }
        return offset
    }

    /// Where the next pair would begin.
    var end: Int64 { length + Int64(buffer.count) }

    func flush() throws {
        var written = 0
        while written < buffer.count {
            let count = buffer[written...].withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress, $0.count, off_t(length))
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.fault("the scratch folder", errno)
            }
            written += count
            length += Int64(count)
        }
        buffer.removeAll(keepingCapacity: true)
    }

    /// The pair in these bytes. Reading forward is served from a window.
    func pair(in range: Range<Int64>) throws -> QuestionAnswer {
        let count = Int(range.upperBound - range.lowerBound) - 1
        if range.lowerBound < windowStart || range.upperBound > windowStart + Int64(window.count) {
            window = try read(at: range.lowerBound, count: max(Self.windowBytes, count + 1))
            windowStart = range.lowerBound
        }
        let start = Int(range.lowerBound - windowStart)
        return try Self.decode(window[start..<(start + count)])
    }

    /// The pair in these bytes, without moving the window.
    func distantPair(in range: Range<Int64>) throws -> QuestionAnswer {
        let count = Int(range.upperBound - range.lowerBound)
        return try Self.decode(try read(at: range.lowerBound, count: count).prefix(count - 1))
    }

    private func read(at offset: Int64, count: Int) throws(IngestError) -> [UInt8] {
        let wanted = Int(min(Int64(count), length - offset))
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, filled in
            filled = 0
            while filled < wanted {
                let result = pread(
                    descriptor, buffer.baseAddress.map { $0 + filled }, wanted - filled, off_t(offset) + filled)
                if result < 0, errno == EINTR { continue }
                guard result > 0 else {
                    failure = result < 0 ? errno : EIO
                    return
                }
                filled += result
            }
        }
        guard failure == 0 else { throw Self.fault("the scratch folder", failure) }
        return bytes
    }

    private static func decode(_ bytes: ArraySlice<UInt8>) throws -> QuestionAnswer {
        let value = try bytes.withUnsafeBufferPointer { try JSONParser.parse($0) }
        guard case .array(let parts) = value, parts.count == 4, case .object(let extras) = parts[3],
            let question = parts[0].text, let answer = parts[1].text, let sourceID = parts[2].text
        else { throw fault("the scratch folder", EIO) }
        return QuestionAnswer(question: question, answer: answer, sourceID: sourceID, extras: extras)
    }

    private static func fault(_ place: String, _ code: Int32) -> IngestError {
        IngestError(
            .scratchFailed,
            "Cannot use \(place) for intermediate records: \(String(cString: strerror(code))). Free space there.",
            isRetryable: true)
    }
}
