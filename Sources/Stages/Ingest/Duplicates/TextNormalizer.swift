import Foundation

/// The form in which texts are compared: NFC, lower case, white space collapsed. Never written anywhere.
enum TextNormalizer {
    /// Appends the compared form of `text` as UTF-8.
    static func append(_ text: String, to bytes: inout [UInt8]) {
        var ascii = text
        if ascii.withUTF8({ appendASCII($0, to: &bytes) }) { return }
        var needsSpace = false
        let start = bytes.count
        for character in text.precomposedStringWithCanonicalMapping.lowercased() {
            if character.isWhitespace {
                needsSpace = bytes.count > start
            } else {
                if needsSpace { bytes.append(0x20) }
                needsSpace = false
                bytes.append(contentsOf: character.utf8)
            }
        }
    }

    /// Does the work for texts without a letter beyond ASCII: in those, bytes are characters.
    /// - Returns: false, with nothing appended, for other texts.
    private static func appendASCII(_ text: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]) -> Bool {
        // A union of the bytes tells whether the top bit is set anywhere, eight and more of them at a time.
        guard text.reduce(0, |) < 0x80 else { return false }
        let compared = [UInt8](unsafeUninitializedCapacity: text.count) { buffer, count in
            var needsSpace = false
            for byte in text {
                if byte == 0x20 || byte &- 0x09 < 5 {
                    needsSpace = count > 0
                    continue
                }
                if needsSpace {
                    buffer[count] = 0x20
                    count += 1
                    needsSpace = false
                }
                buffer[count] = byte &- 0x41 < 26 ? byte | 0x20 : byte
                count += 1
            }
        }
        bytes.append(contentsOf: compared)
        return true
    }

    /// The words of a compared form, hashed; what is neither letter nor digit separates them.
    ///
    /// `naming` gets every word that holds a digit: numbers and identifiers such as `CWE-79`.
    static func words(in bytes: some Collection<UInt8>, naming: inout UInt64) -> [UInt64] {
        var words: [UInt64] = []
        var hash = Self.basis
        var isInWord = false
        var hasDigit = false
        func close() {
            guard isInWord else { return }
            words.append(hash)
            // Order does not count, so a sum of well-mixed hashes will do.
            if hasDigit { naming &+= mix(hash) }
            hash = Self.basis
            (isInWord, hasDigit) = (false, false)
        }
        for byte in bytes {
            let isDigit = byte &- 0x30 < 10
            if isDigit || byte &- 0x61 < 26 || byte >= 0x80 {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
                isInWord = true
                hasDigit = hasDigit || isDigit
            } else {
                close()
            }
        }
        close()
        return words
    }

    private static let basis: UInt64 = 0xCBF2_9CE4_8422_2325

    /// The finaliser of SplitMix64: every bit of the result depends on every bit of `value`.
    static func mix(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
