import Crypto
import FoundationEssentials

/// SHA-256 in lower-case hexadecimal.
package enum Digest {
    package static func sha256(_ text: String) -> String {
        hexadecimal(SHA256.hash(data: Data(text.utf8)))
    }

    package static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
