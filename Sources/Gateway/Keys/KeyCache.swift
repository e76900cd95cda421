import Glibc

/// The key that a connection sent last: the next request brings the same one, and its hash need not be made again.
struct KeyCache {
    private var field: [UInt8] = []
    private var generation = -1
    private var found: KeyState?

    private static let scheme: [UInt8] = Array("bearer ".utf8)

    /// The key in the value of an `Authorization` field; nil when it is unknown or no bearer token.
    mutating func find(_ value: UnsafeRawBufferPointer, in table: KeyTable) -> KeyState? {
        let current = table.generation
        if current == generation, isSame(value) { return found }
        guard value.count > Self.scheme.count, value.count <= 512,
            zip(value, Self.scheme).allSatisfy({ $0 | 0x20 == $1 })
        else { return nil }
        found = table.find(UnsafeRawBufferPointer(rebasing: value[Self.scheme.count...]))
        field = Array(value)
        generation = current
        return found
    }

    private func isSame(_ value: UnsafeRawBufferPointer) -> Bool {
        guard field.count == value.count, let base = value.baseAddress else { return false }
        return field.withUnsafeBytes { $0.baseAddress.map { memcmp($0, base, value.count) == 0 } ?? false }
    }
}
