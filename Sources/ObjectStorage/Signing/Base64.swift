/// Standard base64 with padding, the spelling of `x-amz-checksum-…` and `Content-MD5`.
enum Base64 {
    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        var buffer: UInt32 = 0
        var count = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            count += 1
            if count == 3 {
                for shift in [18, 12, 6, 0] as [UInt32] { text.append(alphabet[Int(buffer >> shift & 63)]) }
                buffer = 0
                count = 0
            }
        }
        if count == 1 {
            text.append(alphabet[Int(buffer >> 2 & 63)])
            text.append(alphabet[Int(buffer << 4 & 63)])
            text.append(contentsOf: "==".utf8)
        } else if count == 2 {
            text.append(alphabet[Int(buffer >> 10 & 63)])
            text.append(alphabet[Int(buffer >> 4 & 63)])
            text.append(alphabet[Int(buffer << 2 & 63)])
            text.append(UInt8(ascii: "="))
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
}
