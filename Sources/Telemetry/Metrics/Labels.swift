/// A series' labels, rendered once: `{pool="train",outcome="done"}` without the braces.
enum Labels {
    /// Bytes of a label's value that are kept.
    static let valueLimit = 128

    /// The labels in the order given, values escaped (exposition format 0.0.4).
    static func render(_ labels: [(String, String)]) -> String {
        labels.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",")
    }

    /// The labels in the definition's order; nil when their names are not the definition's.
    static func render(_ labels: [(String, String)], declared: [String]) -> String? {
        guard labels.count == declared.count else { return nil }
        if zip(labels, declared).allSatisfy({ $0.0 == $1 }) { return render(labels) }
        var ordered: [(String, String)] = []
        for name in declared {
            guard let label = labels.first(where: { $0.0 == name }) else { return nil }
            ordered.append(label)
        }
        return render(ordered)
    }

    private static func escaped(_ value: String) -> String {
        let isPlain = value.utf8.allSatisfy { $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") && $0 != 0x0a }
        if isPlain, value.utf8.count <= valueLimit { return value }
        var result = ""
        for scalar in value.unicodeScalars {
            guard result.utf8.count < valueLimit else { break }
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
