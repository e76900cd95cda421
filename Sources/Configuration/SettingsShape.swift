import Pipeline

/// Checks that the YAML file has no keys but those that mean something.
enum SettingsShape {
    static func check(_ root: YAMLNode, problems: ProblemList) {
        check(root, prefix: [], problems: problems)
    }

    private static let paths =
        (SettingKey.all.map(\.path) + [SettingKey.webhooks, SettingKey.replicas, SettingKey.prices])
        .map { $0.split(separator: ".").map(String.init) }

    private static func check(_ node: YAMLNode, prefix: [String], problems: ProblemList) {
        let below = paths.filter { $0.starts(with: prefix) && $0.count > prefix.count }
        guard !below.isEmpty else { return }
        var keys: [String] = []
        for path in below where !keys.contains(path[prefix.count]) { keys.append(path[prefix.count]) }
        let label = prefix.isEmpty ? "the configuration" : prefix.joined(separator: ".")
        guard let reader = MappingReader(node, label: label, keys: keys, problems: problems) else { return }
        for member in reader.members where keys.contains(member.name) {
            check(member.value, prefix: prefix + [member.name], problems: problems)
        }
    }
}
