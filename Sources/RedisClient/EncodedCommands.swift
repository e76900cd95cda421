import CHiredis

/// Commands as hiredis takes them, encoded on the caller's thread: all bytes in one buffer.
struct EncodedCommands: Sendable {
    private var bytes: [UInt8] = []
    private var lengths: [Int] = []
    private var argumentCounts: [Int32] = []

    /// The server refuses more (`proto-max-bulk-len` and the multi-bulk limit).
    static let maximumArguments = 1_024 * 1_024

    var count: Int { argumentCounts.count }
    var size: Int { bytes.count }

    init(_ commands: [[RedisArgument]]) throws {
        for command in commands {
            guard !command.isEmpty else { throw RedisError(.invalidCommand, "a command has no words") }
            guard command.count <= Self.maximumArguments else {
                throw RedisError(.invalidCommand, "a command has \(command.count) words; Redis takes 1048576")
            }
            for argument in command {
                let start = bytes.count
                argument.append(to: &bytes)
                lengths.append(bytes.count - start)
            }
            argumentCounts.append(Int32(command.count))
        }
    }

    /// Puts every command into the context's output buffer; false when hiredis is out of memory.
    func append(to context: UnsafeMutablePointer<redisContext>) -> Bool {
        bytes.withUnsafeBytes { buffer in
            lengths.withUnsafeBufferPointer { lengths in
                // An empty buffer has no address, and hiredis reads none of it then.
                let base = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
                var offset = 0
                var first = 0
                var pointers: [UnsafePointer<CChar>?] = []
                for count in argumentCounts {
                    pointers.removeAll(keepingCapacity: true)
                    for index in first..<first + Int(count) {
                        pointers.append(base.map { $0 + offset })
                        offset += lengths[index]
                    }
                    let status = redisAppendCommandArgv(
                        context, count, &pointers, lengths.baseAddress.map { $0 + first })
                    guard status == REDIS_OK else { return false }
                    first += Int(count)
                }
                return true
            }
        }
    }
}
