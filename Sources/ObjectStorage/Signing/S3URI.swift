/// Percent-encoding as AWS Signature Version 4 defines it ("UriEncode").
///
/// Every byte except `A–Z a–z 0–9 - . _ ~` becomes `%XY` with upper-case digits; a space is `%20`,
/// never `+`. In an object key the slash stays as it is. The signature is computed over exactly
/// this form, so the request line must carry the same bytes.
package enum S3URI {
    package static func encode(_ text: String, keepingSlashes: Bool) -> String {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count + text.utf8.count / 4)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                encoded.append(byte)
            case UInt8(ascii: "/") where keepingSlashes:
                encoded.append(byte)
            default:
                encoded.append(UInt8(ascii: "%"))
                encoded.append(hexDigitsUpper[Int(byte >> 4)])
                encoded.append(hexDigitsUpper[Int(byte & 15)])
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    /// The inverse, for names in listings asked for with `encoding-type=url`.
    ///
    /// There a literal plus sign is always `%2B`, and some servers write a space as `+`.
    /// - Returns: nil when a `%` is not followed by two hexadecimal digits.
    package static func decodeListed(_ text: String) -> String? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(text.utf8.count)
        var rest = text.utf8.makeIterator()
        while let byte = rest.next() {
            switch byte {
            case UInt8(ascii: "+"): decoded.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let first = rest.next(), let second = rest.next(), let high = nibble(first),
                    let low = nibble(second)
                else { return nil }
                decoded.append(high << 4 | low)
            default: decoded.append(byte)
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    /// The query in canonical form: names and values encoded, sorted by encoded name, then value.
    /// A parameter without a value still gets its `=`.
    package static func canonicalQuery(_ parameters: [(name: String, value: String)]) -> String {
        parameters
            .map { (encode($0.name, keepingSlashes: false), encode($0.value, keepingSlashes: false)) }
            .sorted { Array($0.0.utf8) == Array($1.0.utf8) ? precedes($0.1, $1.1) : precedes($0.0, $1.0) }
            .map { "\($0.0)=\($0.1)" }
            .joined(separator: "&")
    }

    /// Order by code unit. Swift's `<` on strings compares normalised characters instead.
    private static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static let hexDigitsUpper = Array("0123456789ABCDEF".utf8)
}
