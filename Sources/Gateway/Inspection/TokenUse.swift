import CLinux
import Glibc
import Pipeline

/// Tokens that one request took, as the model server counted them.
package struct TokenUse: Equatable, Sendable {
    package var prompt = 0
    package var completion = 0
    /// Of the prompt's, those that came from the model server's cache.
    package var cached = 0

    package init(prompt: Int = 0, completion: Int = 0, cached: Int = 0) {
        self.prompt = prompt
        self.completion = completion
        self.cached = cached
    }
}

extension TokenUse {
    /// Reads the last `usage` object of a response, or of an event of one.
    ///
    /// - Parameter bytes: the body, or its end. Within a string of a JSON text no quote stands unescaped, so that what is
    ///   found here is the member itself and never an answer's text.
    /// - Returns: nil when there is none.
    package init?(lastIn bytes: UnsafeRawBufferPointer) {
        guard let place = Self.lastUsage(in: bytes) else { return nil }
        self.init()
        var cursor = JSONCursor(bytes, at: place)
        do {
            guard cursor.takes(UInt8(ascii: ":")), cursor.peek() == UInt8(ascii: "{") else { return nil }
            guard try cursor.beginObject() else { return nil }
            repeat {
                let name = try cursor.memberName()
                if Self.isSame(bytes[name.range], "prompt_tokens") {
                    prompt = try Self.count(&cursor)
                } else if Self.isSame(bytes[name.range], "completion_tokens") {
                    completion = try Self.count(&cursor)
                } else if Self.isSame(bytes[name.range], "prompt_tokens_details") {
                    cached = try Self.cached(&cursor)
                } else {
                    try cursor.skipValue()
                }
            } while try cursor.hasNextMember()
        } catch {
            return nil
        }
    }

    private static func lastUsage(in bytes: UnsafeRawBufferPointer) -> Int? {
        let name: StaticString = "\"usage\""
        guard let base = bytes.baseAddress else { return nil }
        var from = 0
        var last: Int?
        while let found = memmem(base + from, bytes.count - from, name.utf8Start, 7) {
            let offset = UnsafeRawPointer(found) - base
            if offset == 0 || bytes[offset - 1] != UInt8(ascii: "\\"), isName(bytes[(offset + 7)...]) {
                last = offset + 7
            }
            from = offset + 7
        }
        return last
    }

    /// Whether it is a member's name: a token of the prompt may be the same word.
    private static func isName(_ rest: Slice<UnsafeRawBufferPointer>) -> Bool {
        rest.first { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 } == UInt8(ascii: ":")
    }

    private static func isSame(_ bytes: Slice<UnsafeRawBufferPointer>, _ name: StaticString) -> Bool {
        let bytes = UnsafeRawBufferPointer(rebasing: bytes)
        guard bytes.count == name.utf8CodeUnitCount, let base = bytes.baseAddress else { return false }
        return memcmp(base, name.utf8Start, bytes.count) == 0
    }

    private static func count(_ cursor: inout JSONCursor) throws(JSONFault) -> Int {
        var value = 0
        for byte in cursor.bytes[try cursor.skipValue()] {
            guard byte &- 0x30 < 10, value < 1 << 40 else { return 0 }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    private static func cached(_ cursor: inout JSONCursor) throws(JSONFault) -> Int {
        guard cursor.peek() == UInt8(ascii: "{") else {
            try cursor.skipValue()
            return 0
        }
        var value = 0
        guard try cursor.beginObject() else { return 0 }
        repeat {
            let name = try cursor.memberName()
            if isSame(cursor.bytes[name.range], "cached_tokens") {
                value = try count(&cursor)
            } else {
                try cursor.skipValue()
            }
        } while try cursor.hasNextMember()
        return value
    }
}
