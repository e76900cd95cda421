import Pipeline

/// Typed reading: a value of the wrong form is reported and the standard taken, so that all faults are told at once.
extension SettingSources {
    func text(_ key: SettingKey, standard: String? = nil) -> String? {
        let found = value(key)
        record(key, shown: found?.text ?? standard ?? "not set", origin: found?.origin ?? .standard)
        return found?.text ?? standard
    }

    func secret(_ key: SettingKey) -> Secret? {
        let found = value(key)
        record(key, shown: found == nil ? "not set" : "set", origin: found?.origin ?? .standard)
        return found.map { Secret($0.text) }
    }

    func url(_ key: SettingKey, schemes: [String], needsHost: Bool = true) -> ServiceURL? {
        guard let found = value(key) else {
            record(key, shown: "not set", origin: .standard)
            return nil
        }
        let url = ServiceURL(found.text)
        if let fault = Self.fault(of: url, schemes: schemes, needsHost: needsHost) {
            report("\(key.path) \(fault)", at: found.origin)
            return nil
        }
        record(key, shown: url.description, origin: found.origin)
        return url
    }

    func count(_ key: SettingKey, standard: Int, in range: ClosedRange<Int>) -> Int {
        parsed(
            key, standard: standard, shown: \.description,
            expected: "a whole number from \(range.lowerBound) to \(range.upperBound)"
        ) { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    func number(_ key: SettingKey, standard: Double, in range: ClosedRange<Double>) -> Double {
        let (low, high) = (NumberText.short(range.lowerBound), NumberText.short(range.upperBound))
        return parsed(key, standard: standard, shown: NumberText.short, expected: "a number from \(low) to \(high)") {
            text in
            Double(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// Seconds.
    func duration(_ key: SettingKey, standard: Double, in range: ClosedRange<Double>) -> Double {
        let bounds =
            "from \(NumberText.duration(seconds: range.lowerBound)) to \(NumberText.duration(seconds: range.upperBound))"
        return parsed(
            key, standard: standard, shown: NumberText.duration(seconds:),
            expected: "a length of time \(bounds), such as \(DurationText.examples)"
        ) { text in
            DurationText.seconds(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    func choice<Value: RawRepresentable & CaseIterable>(_ key: SettingKey, standard: Value) -> Value
    where Value.RawValue == String {
        let words = Value.allCases.map(\.rawValue)
        return parsed(key, standard: standard, shown: \.rawValue, expected: "one of \(words.joined(separator: ", "))") {
            Value(rawValue: $0.lowercased())
        }
    }

    /// Texts with commas between them.
    func list(
        _ key: SettingKey, standard: [String] = [], expected: String, isValid: (String) -> Bool
    ) -> [String] {
        parsed(key, standard: standard, shown: { $0.isEmpty ? "none" : $0.joined(separator: ", ") }, expected: expected)
        {
            text in
            let items = text.split(separator: ",").map { item in
                String(item.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            }
            return items.allSatisfy(isValid) ? items : nil
        }
    }

    func parsed<Value>(
        _ key: SettingKey, standard: Value, shown: (Value) -> String, expected: String, parse: (String) -> Value?
    ) -> Value {
        guard let found = value(key) else {
            record(key, shown: shown(standard), origin: .standard)
            return standard
        }
        guard let value = parse(found.text) else {
            report("\(key.path) must be \(expected), not \"\(found.text.prefix(80))\"", at: found.origin)
            return standard
        }
        record(key, shown: shown(value), origin: found.origin)
        return value
    }

    /// What is wrong with a URL, without repeating it: there may be a password in it.
    static func fault(of url: ServiceURL, schemes: [String], needsHost: Bool = true) -> String? {
        let example = "\(schemes[0])://host"
        guard let mark = url.value.firstRange(of: "://") else { return "must be a URL such as \(example)" }
        guard schemes.contains(url.scheme) else {
            return "has the scheme \"\(url.scheme.prefix(20))\": use \(schemes.joined(separator: " or "))"
        }
        guard url.value.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            return "has a space or a control character in it: percent-encode it"
        }
        let authority = url.value[mark.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        guard !needsHost || !(host.isEmpty || host.hasPrefix(":")) else { return "names no host: write \(example)" }
        if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") {
            let port = host[host.index(after: colon)...]
            guard !host.contains(",") else { return nil }
            guard let number = Int(port), (1...65_535).contains(number) else {
                return
                    "has a port that is not a number from 1 to 65535; percent-encode special characters of a password"
            }
        }
        return nil
    }
}
