/// Percent-encoding for queries and paths (RFC 3986 §2.3): everything but unreserved characters.
enum URLText {
    static func encode(_ text: String, keepingSlashes: Bool = false) -> String {
        var encoded = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            if scalar.properties.isAlphabetic && scalar.isASCII || (48...57).contains(byte)
                || "-._~".utf8.contains(byte)
                || keepingSlashes && byte == UInt8(ascii: "/")
            {
                encoded.unicodeScalars.append(scalar)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return encoded
    }
}
