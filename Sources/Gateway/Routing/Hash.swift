/// A hash that is the same in every process, unlike Swift's own.
enum Hash {
    /// FNV-1a, 64 bits, finished with the mixer of SplitMix64 so that similar texts spread.
    static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return mix(hash)
    }

    /// Of something long, eight bytes at a time; another one than that of its bytes one by one.
    static func of(memory: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(memory.count)
        func add(_ word: UInt64) {
            hash = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash >> 29
        }
        var at = 0
        while at + 8 <= memory.count {
            add(UInt64(littleEndian: memory.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
            at += 8
        }
        var rest: UInt64 = 0
        for byte in memory[at...] { rest = rest << 8 | UInt64(byte) }
        add(rest)
        return mix(hash)
    }

    /// The mixer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    static func mix(_ value: UInt64) -> UInt64 {
        var value = value
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}

/// Numbers to name and to spread requests with, not to keep secrets: the system's own generator is asked once, not for each.
/// xoshiro256** (Blackman and Vigna: Scrambled linear pseudorandom number generators, 2021).
struct WordGenerator: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init() {
        var system = SystemRandomNumberGenerator()
        self.init(seed: (system.next(), system.next(), system.next(), system.next() | 1))
    }

    /// - Parameter seed: not all zeros.
    init(seed: (UInt64, UInt64, UInt64, UInt64)) { state = seed }

    mutating func next() -> UInt64 {
        func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }
        let result = rotated(state.1 &* 5, 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, 45)
        return result
    }
}
