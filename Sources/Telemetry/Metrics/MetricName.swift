/// Turns what a library calls a metric into what Prometheus accepts and its conventions ask for.
enum MetricName {
    /// The name for a metric that is not in the catalogue.
    static func exposed(_ label: String, kind: MetricDefinition.Kind, isTimer: Bool) -> String {
        var name = sanitised(label)
        switch kind {
        case .counter:
            if !name.hasSuffix("_total") { name += "_total" }
        case .gauge, .histogram:
            // These endings belong to other types and would make two metrics collide.
            for suffix in ["_total", "_sum", "_count", "_bucket"] where name.hasSuffix(suffix) {
                name.removeLast(suffix.count)
            }
            if isTimer, !name.hasSuffix("_seconds") { name += "_seconds" }
        }
        return name
    }

    /// Lower-case letters, digits and underscores, beginning with a letter, at most 200 bytes.
    static func sanitised(_ text: String) -> String {
        var result: [UInt8] = []
        for byte in text.utf8.prefix(200) {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): result.append(byte + 32)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): result.append(byte)
            default:
                if result.last != UInt8(ascii: "_") { result.append(UInt8(ascii: "_")) }
            }
        }
        let name = String(decoding: result, as: UTF8.self)
        guard let first = result.first, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first) else {
            return "m_\(name)"
        }
        return name
    }
}
