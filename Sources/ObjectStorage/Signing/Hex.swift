import Crypto

/// Lower-case hexadecimal, the spelling of every digest in S3 and in manifests.
package enum Hex {
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var digits: [UInt8] = []
        for byte in bytes {
            digits.append(alphabet[Int(byte >> 4)])
            digits.append(alphabet[Int(byte & 15)])
        }
        return String(decoding: digits, as: UTF8.self)
    }

    package static func sha256(_ bytes: [UInt8]) -> String {
        encode(SHA256.hash(data: bytes))
    }

    /// True for 64 lower-case hexadecimal digits.
    package static func isSHA256(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { alphabet.contains($0) }
    }

    private static let alphabet = Array("0123456789abcdef".utf8)
}
