/// Text for the inside of an element that we send.
enum XMLText {
    /// - Throws: `S3Error` with code `.invalidRequest` for control characters that XML 1.0 cannot
    ///   carry: S3 offers no other spelling, so such a key can only be deleted on its own.
    static func escape(_ text: String) throws -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "\r": escaped += "&#13;"
            case "\n": escaped += "&#10;"
            case "\t": escaped += "&#9;"
            case let control where control.value < 32 || control.value == 0xFFFE || control.value == 0xFFFF:
                throw S3Error(
                    code: .invalidRequest,
                    message: "a key holds the character U+\(String(control.value, radix: 16, uppercase: true)), "
                        + "which XML cannot carry; delete that key by itself")
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// Whether `escape` accepts the text.
    static func canCarry(_ text: String) -> Bool {
        (try? escape(text)) != nil
    }
}
