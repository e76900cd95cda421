/// Finds records whose question and whose answer both nearly equal those of an earlier record.
///
/// Two questions that name different numbers or identifiers (CWE-79 and CWE-80) are never near-duplicates, however
/// alike their words are. Candidates come from locality-sensitive hashing in bands, and the signatures decide.
///
/// Memory per record: 96 bytes of signature, 8 of names, 64 of chains, and 64 to 128 of heads.
struct NearDuplicateIndex {
    private static let bands = 16
    private static let rows = 4
    private static let answerHashes = bands * rows
    private static let questionHashes = 32
    private static let hashes = answerHashes + questionHashes
    /// Per band. Bounds the time for texts of which there are thousands; their first ones are not all compared.
    private static let maximumCandidates = 64
    /// Per band: records that share a place in the table without sharing its key, made to do so, cost no more.
    private static let maximumSteps = 1_024
    private static let none = UInt32.max

    private let threshold: Double
    private let shingleWords: Int
    private let answerHash = MinHash(count: answerHashes, seed: 0x6D61_7274_6C65_7401)
    private let questionHash = MinHash(count: questionHashes, seed: 0x6D61_7274_6C65_7402)
    /// Per band and hashed key, the newest record; a part of the table for each band. Keys are not kept: signatures
    /// hold them.
    private var heads = [UInt32](repeating: none, count: bands << 10)
    /// Per record and band, the record before it at the same place.
    private var chains = RowBlocks<UInt32>(width: bands)
    /// Per record, a byte of each of its hashes (b-bit minwise hashing, Li and König 2010): one accident in 256 for
    /// each, which moves the estimate by less than 0.004 (1 - similarity).
    private var signatures = RowBlocks<UInt8>(width: hashes)
    /// Per record, the numbers and identifiers of its question.
    private var names = RowBlocks<UInt64>(width: 1)
    var count: Int { names.count }

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
        let signature =
            answerHash.signature(of: answerWords, width: shingleWords).map { UInt8(truncatingIfNeeded: $0) }
            + questionHash.signature(of: questionWords, width: 2).map { UInt8(truncatingIfNeeded: $0) }
        let isKnown = signature.withUnsafeBufferPointer { signature in
            (0..<Self.bands).contains { isDuplicate(signature, naming, band: $0) }
        }
        guard !isKnown else { return true }
        if count == heads.count / Self.bands { growHeads() }
        signatures.append(signature)
        names.append(CollectionOfOne(naming))
        chains.append(repeatElement(Self.none, count: Self.bands))
        link(count - 1)
        return false
    }

    private func isDuplicate(_ signature: UnsafeBufferPointer<UInt8>, _ naming: UInt64, band: Int) -> Bool {
        let key = Self.key(signature, band: band)
        var candidate = heads[place(key, naming, band: band)]
        var (tried, steps) = (0, 0)
        while candidate != Self.none, tried < Self.maximumCandidates, steps < Self.maximumSteps {
            let record = Int(candidate)
            if names[record, 0] == naming {
                let (isCandidate, isNear) = signatures.withRow(record) { other in
                    let isCandidate = Self.key(other, band: band) == key
                    return (isCandidate, isCandidate && self.isNear(signature, other))
                }
                if isNear { return true }
                if isCandidate { tried += 1 }
            }
            candidate = chains[record, band]
            steps += 1
        }
        return false
    }

    /// What two records must share to be compared. One hash of the question is in every key: equal answers to many
    /// questions do not pile up at one place.
    private static func key(_ signature: UnsafeBufferPointer<UInt8>, band: Int) -> UInt64 {
        var key = UInt64(band) << 8 | UInt64(signature[answerHashes + band])
        for row in 0..<rows { key = key << 8 | UInt64(signature[band * rows + row]) }
        return key
    }

    private func place(_ key: UInt64, _ naming: UInt64, band: Int) -> Int {
        let size = heads.count / Self.bands
        return band * size + Int(TextNormalizer.mix(naming ^ TextNormalizer.mix(key)) & UInt64(size - 1))
    }

    private mutating func link(_ record: Int) {
        for band in 0..<Self.bands {
            let key = signatures.withRow(record) { Self.key($0, band: band) }
            let place = place(key, names[record, 0], band: band)
            chains[record, band] = heads[place]
            heads[place] = UInt32(record)
        }
    }

    /// Doubles the table, which was as long for each band as there are records.
    private mutating func growHeads() {
        let size = heads.count * 2
        // The old table is given back first: its contents follow from the signatures.
        heads = []
        heads = [UInt32](repeating: Self.none, count: size)
        for record in 0..<count { link(record) }
    }

    private func isNear(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Bool {
        var (sameAnswers, sameQuestions) = (0, 0)
        for index in 0..<Self.answerHashes where left[index] == right[index] { sameAnswers += 1 }
        guard Double(sameAnswers) >= threshold * Double(Self.answerHashes) else { return false }
        for index in Self.answerHashes..<Self.hashes where left[index] == right[index] { sameQuestions += 1 }
        return Double(sameQuestions) >= threshold * Double(Self.questionHashes)
    }
}
