/// Finds records whose question and whose answer both nearly equal those of an earlier record.
///
/// Two questions that name different numbers or identifiers (CWE-79 and CWE-80) are never near-duplicates, however
/// alike their words are. Candidates come from locality-sensitive hashing in bands, and the
/// signatures decide. Memory per record: 192 bytes of signatures, 64 of chains and 16 table entries of 16 to 33 bytes each.
struct NearDuplicateIndex {
    private static let bands = 16
    private static let rows = 4
    private static let answerHashes = bands * rows
    private static let questionHashes = 32
    private static let hashes = answerHashes + questionHashes
    /// Per band. Bounds the time for texts of which there are thousands; their first ones are not all compared.
    private static let maximumCandidates = 64
    private static let none = UInt32.max

    private let threshold: Double
    private let shingleWords: Int
    private let answerHash = MinHash(count: answerHashes, seed: 0x6D61_7274_6C65_7401)
    private let questionHash = MinHash(count: questionHashes, seed: 0x6D61_7274_6C65_7402)
    private var heads = [[UInt64: UInt32]](repeating: [:], count: bands)
    /// Per record and band, the record before it with the same key.
    private var chains: [UInt32] = []
    /// Per record, the low halves of its signatures: half the memory, and one accident in 65,536.
    private var signatures: [UInt16] = []
    private(set) var count = 0

    init(threshold: Double, shingleWords: Int) {
        self.threshold = threshold
        self.shingleWords = shingleWords
    }

    /// Whether an earlier record is nearly the same; when none is, the record is remembered.
    mutating func isDuplicate(question: ArraySlice<UInt8>, answer: ArraySlice<UInt8>) -> Bool {
        var naming: UInt64 = 0
        var ignored: UInt64 = 0
        let questionWords = TextNormalizer.words(in: question, naming: &naming)
        let answerWords = TextNormalizer.words(in: answer, naming: &ignored)
        // Without words (`+` against `-`) nothing can be said of likeness.
        guard !questionWords.isEmpty, !answerWords.isEmpty else { return false }
        let questions = questionHash.signature(of: questionWords, width: 2)
        let answers = answerHash.signature(of: answerWords, width: shingleWords)
        let signature = (answers + questions).map { UInt16(truncatingIfNeeded: $0) }
        var keys: [UInt64] = []
        for band in 0..<Self.bands {
            // One hash of the question in every key: equal answers to many questions do not pile up in one bucket.
            var key = TextNormalizer.mix(naming ^ UInt64(questions[band]) << 8 ^ UInt64(band))
            for row in 0..<Self.rows { key = TextNormalizer.mix(key ^ UInt64(answers[band * Self.rows + row])) }
            keys.append(key)
        }
        for band in 0..<Self.bands {
            var candidate = heads[band][keys[band]] ?? Self.none
            var tried = 0
            while candidate != Self.none, tried < Self.maximumCandidates {
                if isNear(signature, Int(candidate)) { return true }
                candidate = chains[Int(candidate) * Self.bands + band]
                tried += 1
            }
        }
        signatures.append(contentsOf: signature)
        for band in 0..<Self.bands {
            chains.append(heads[band].updateValue(UInt32(count), forKey: keys[band]) ?? Self.none)
        }
        count += 1
        return false
    }

    private func isNear(_ signature: [UInt16], _ candidate: Int) -> Bool {
        let base = candidate * Self.hashes
        var (sameAnswers, sameQuestions) = (0, 0)
        for index in 0..<Self.answerHashes where signatures[base + index] == signature[index] { sameAnswers += 1 }
        guard Double(sameAnswers) >= threshold * Double(Self.answerHashes) else { return false }
        for index in Self.answerHashes..<Self.hashes where signatures[base + index] == signature[index] {
            sameQuestions += 1
        }
        return Double(sameQuestions) >= threshold * Double(Self.questionHashes)
    }
}
