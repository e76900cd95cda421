import Crypto
import Pipeline

/// Writes records into shards of bounded size and keeps their digests.
struct ShardWriter {
    struct Shard: Hashable, Sendable {
        var name: String
        var bytes: Int64
        var records: Int64
        var sha256: String

        var jsonValue: JSONValue {
            .object(["name": .string(name), "bytes": .int(bytes), "records": .int(records), "sha256": .string(sha256)])
        }
    }

    private static let bufferBytes = 256 << 10

    private let sink: any RecordSink
    private let shardBytes: Int
    private var buffer: [UInt8] = []
    private var hasher = SHA256()
    private var bytes: Int64 = 0
    private var records: Int64 = 0
    /// How often each id was written, where equal pairs are kept. 27 to 54 bytes of memory per pair.
    private var written: [Digest128: UInt32]?
    private(set) var shards: [Shard] = []

    /// - Parameter holdsEqualPairs: whether pairs may come more than once: each gets an id of its own then, the same
    ///   for the same place among its equals.
    init(sink: any RecordSink, shardBytes: Int, holdsEqualPairs: Bool = false) {
        self.sink = sink
        self.shardBytes = shardBytes
        if holdsEqualPairs { written = [:] }
    }

    private var name: String {
        let number = String(shards.count)
        return "records-" + String(repeating: "0", count: max(0, 5 - number.count)) + number + ".jsonl"
    }

    /// - Parameter sourceIDs: All the raw records that the answer comes from; the first one is the record's.
    mutating func write(_ pair: QuestionAnswer, sourceIDs: [String]) throws {
        var hash = SHA256()
        for var text in [pair.question, pair.answer, pair.sourceID] {
            text.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
            hash.update(data: [0] as [UInt8])
        }
        var members = pair.extras
        members.append(RecordValue.Member(key: "id", value: .string(id(hash))))
        members.append(RecordValue.Member(key: "source_id", value: .string(pair.sourceID)))
        members.append(RecordValue.Member(key: "question", value: .string(pair.question)))
        members.append(RecordValue.Member(key: "answer", value: .string(pair.answer)))
        if sourceIDs.count > 1 {
            let value = RecordValue.array(sourceIDs.map(RecordValue.string))
            members.append(RecordValue.Member(key: "source_ids", value: value))
        }
        JSONWriter.append(members, to: &buffer)
        buffer.append(0x0A)
        records += 1
        if bytes + Int64(buffer.count) >= Int64(shardBytes) {
            try closeShard()
        } else if buffer.count >= Self.bufferBytes {
            try flush()
        }
    }

    private mutating func id(_ hash: SHA256) -> String {
        let digest = hash.finalize()
        guard written != nil else { return hexadecimal(digest.prefix(16)) }
        let before = written?[Digest128(digest), default: 0] ?? 0
        written?[Digest128(digest)] = before &+ 1
        guard before > 0 else { return hexadecimal(digest.prefix(16)) }
        var hash = hash
        hash.update(data: Array(String(before).utf8))
        return hexadecimal(hash.finalize().prefix(16))
    }

    mutating func finish() throws {
        if records > 0 { try closeShard() }
    }

    private mutating func flush() throws {
        guard !buffer.isEmpty else { return }
        hasher.update(data: buffer)
        bytes += Int64(buffer.count)
        try sink.append(buffer, to: name)
        buffer.removeAll(keepingCapacity: true)
    }

    private mutating func closeShard() throws {
        try flush()
        let name = name
        try sink.close(name)
        shards.append(Shard(name: name, bytes: bytes, records: records, sha256: hexadecimal(hasher.finalize())))
        hasher = SHA256()
        (bytes, records) = (0, 0)
    }
}
