import Crypto

/// The first half of a SHA-256: equal texts are told apart safely, whoever wrote them.
struct Digest128: Hashable {
    var high: UInt64
    var low: UInt64

    init(_ bytes: [UInt8]) {
        (high, low) = (0, 0)
        for (index, byte) in SHA256.hash(data: bytes).prefix(16).enumerated() {
            if index < 8 { high = high << 8 | UInt64(byte) } else { low = low << 8 | UInt64(byte) }
        }
    }
}

/// Lower-case hexadecimal digits of a digest.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    var text = ""
    for byte in bytes {
        if byte < 16 { text += "0" }
        text += String(byte, radix: 16)
    }
    return text
}
