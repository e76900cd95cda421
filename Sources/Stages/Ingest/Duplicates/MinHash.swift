/// MinHash signatures: the share of equal places in two of them estimates the Jaccard similarity of
/// the shingle sets (Broder 1997).
struct MinHash {
    /// The number of hash functions.
    let count: Int
    private let multipliers: [UInt64]
    private let increments: [UInt64]

    /// The functions are fixed, so that every run finds the same duplicates.
    init(count: Int, seed: UInt64) {
        self.count = count
        multipliers = (0..<count).map { TextNormalizer.mix(seed &+ UInt64(2 * $0)) | 1 }
        increments = (0..<count).map { TextNormalizer.mix(seed &+ UInt64(2 * $0 + 1)) }
    }

    /// - Parameters:
    ///   - words: Hashed words.
    ///   - width: Words per shingle; a shorter text is one shingle.
    func signature(of words: [UInt64], width: Int) -> [UInt32] {
        var signature = [UInt32](repeating: .max, count: count)
        guard !words.isEmpty else { return signature }
        let width = min(width, words.count)
        signature.withUnsafeMutableBufferPointer { minima in
            multipliers.withUnsafeBufferPointer { multipliers in
                increments.withUnsafeBufferPointer { increments in
                    for start in 0...(words.count - width) {
                        var shingle: UInt64 = 0
                        for word in words[start..<(start + width)] { shingle = TextNormalizer.mix(shingle ^ word) }
                        for index in 0..<count {
                            let hash = UInt32(
                                truncatingIfNeeded: (shingle &* multipliers[index] &+ increments[index]) >> 32)
                            minima[index] = min(minima[index], hash)
                        }
                    }
                }
            }
        }
        return signature
    }
}
