/// A hash that is the same in every process, unlike Swift's own.
enum Hash {
    /// FNV-1a, 64 bits, finished with the mixer of SplitMix64 so that similar texts spread.
    static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
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
