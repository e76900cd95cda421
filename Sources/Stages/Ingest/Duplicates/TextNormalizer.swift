import Foundation

/// The form in which texts are compared: NFC, lower case, white space collapsed. Never written anywhere.
enum TextNormalizer {
    /// Appends the compared form of `text` as UTF-8.
    static func append(_ text: String, to bytes: inout [UInt8]) {
        var ascii = text
        if ascii.withUTF8({ appendASCII($0, to: &bytes) }) { return }
        // To compose takes much longer than to see that there is nothing to compose.
        let composed =
            text.unicodeScalars.allSatisfy { isComposed($0.value) } ? text : text.precomposedStringWithCanonicalMapping
        var needsSpace = false
        let start = bytes.count
        for scalar in composed.unicodeScalars {
            if scalar.isASCII ? scalar.value == 0x20 || scalar.value &- 0x09 < 5 : scalar.properties.isWhitespace {
                needsSpace = bytes.count > start
                continue
            }
            if needsSpace { bytes.append(0x20) }
            needsSpace = false
            if scalar.isASCII {
                let byte = UInt8(truncatingIfNeeded: scalar.value)
                bytes.append(byte &- 0x41 < 26 ? byte | 0x20 : byte)
            } else if isCaseless(scalar.value) {
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            } else {
                bytes.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            }
        }
    }

    /// Whether a text of such scalars is in NFC whatever stands beside them: NFC_Quick_Check (UAX #15) is "yes" for all
    /// of these Latin, Cyrillic, punctuation, CJK and emoji. The others are not all composed differently; they are
    /// only not known here.
    private static func isComposed(_ scalar: UInt32) -> Bool {
        scalar < 0x300 || 0x400...0x482 ~= scalar || isCaseless(scalar)
    }

    /// General punctuation, CJK ideographs and emoji, of those that are known to be composed.
    private static func isCaseless(_ scalar: UInt32) -> Bool {
        0x2002...0x205E ~= scalar || 0x4E00...0x9FFF ~= scalar || 0x1F300...0x1FAFF ~= scalar
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
