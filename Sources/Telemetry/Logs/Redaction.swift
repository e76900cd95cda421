/// Keeps secrets out of logs: values under keys that name one, and passwords inside URLs.
package enum Redaction {
    /// What stands in a secret's place.
    package static let mask = "[redacted]"

    private static let secretWords: Set<String> = [
        "password", "passwd", "passphrase", "pwd", "secret", "secrets", "authorization", "cookie", "credential",
        "credentials", "apikey", "bearer", "signature",
    ]
    private static let secretPairs: Set<String> = ["apikey", "accesskey", "privatekey", "signingkey", "secretkey"]

    /// Whether a key names a secret: `password`, `apiKey`, `x-access-token`. A count of tokens
    /// (`max_tokens`, `token_accuracy`) does not.
    package static func isSecret(key: String) -> Bool {
        let words = words(of: key)
        if words.last == "token" { return true }
        if words.contains(where: secretWords.contains) { return true }
        return zip(words, words.dropFirst()).contains { secretPairs.contains($0 + $1) }
    }

    /// The text with the password of every `scheme://user:password@host` masked.
    package static func maskURLs(in text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "@")) else { return text }
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            guard let scheme = endOfScheme(bytes, at: index), let at = endOfUserInfo(bytes, from: scheme) else {
                result.append(bytes[index])
                index += 1
                continue
            }
            let userInfo = bytes[scheme..<at]
            result.append(contentsOf: bytes[index..<scheme])
            if let colon = userInfo.firstIndex(of: UInt8(ascii: ":")) {
                result.append(contentsOf: bytes[scheme...colon])
                result.append(contentsOf: mask.utf8)
            } else {
                result.append(contentsOf: userInfo)
            }
            index = at
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The index after `://` when it stands at `index`.
    private static func endOfScheme(_ bytes: [UInt8], at index: Int) -> Int? {
        guard index + 3 <= bytes.count, bytes[index] == UInt8(ascii: ":"), bytes[index + 1] == UInt8(ascii: "/"),
            bytes[index + 2] == UInt8(ascii: "/")
        else { return nil }
        return index + 3
    }

    /// The index of the last `@` before the authority ends: a password may hold one that was not encoded.
    private static func endOfUserInfo(_ bytes: [UInt8], from start: Int) -> Int? {
        let ends: Set<UInt8> = Set("/?# \t\r\n\"'<>,".utf8)
        var found: Int?
        var index = start
        while index < bytes.count, !ends.contains(bytes[index]) {
            if bytes[index] == UInt8(ascii: "@") { found = index }
            index += 1
        }
        return found
    }

    private static func words(of key: String) -> [String] {
        var words: [String] = []
        var word = ""
        var previousIsLower = false
        for character in key.unicodeScalars.prefix(200) {
            let isUpper = ("A"..."Z").contains(character)
            let isLetter = isUpper || ("a"..."z").contains(character) || ("0"..."9").contains(character)
            if !isLetter || (isUpper && previousIsLower) {
                if !word.isEmpty { words.append(word) }
                word = ""
            }
            if isLetter {
                word.unicodeScalars.append(isUpper ? Unicode.Scalar(UInt8(character.value) + 32) : character)
            }
            previousIsLower = isLetter && !isUpper
        }
        if !word.isEmpty { words.append(word) }
        return words
    }
}
