/// Finds the value of a setting: the environment goes before the local stack's word, that before the YAML file.
final class SettingSources {
    struct Value {
        var text: String
        var origin: SettingOrigin
    }

    private let environment: [String: String]
    private let yaml: YAMLNode?
    private let yamlFile: String
    private let stack: [String: StackFile.Entry]
    private let stackPath: String
    private(set) var problems: [ConfigurationProblem] = []
    private(set) var effective: [EffectiveSetting] = []

    init(
        environment: [String: String], yaml: YAMLNode?, yamlFile: String, stack: [String: StackFile.Entry] = [:],
        stackPath: String = ""
    ) {
        self.environment = environment
        self.yaml = yaml
        self.yamlFile = yamlFile
        self.stack = stack
        self.stackPath = stackPath
    }

    /// Nil when nobody has set it; an empty variable counts as not set.
    func value(_ key: SettingKey) -> Value? {
        fromEnvironment(key) ?? fromStack(key) ?? fromYAML(key)
    }

    func report(_ message: String, at origin: SettingOrigin) {
        let place = origin.place
        problems.append(ConfigurationProblem(source: place.source, position: place.position, message: message))
    }

    /// Puts a setting in the list of what is in force. `shown` must be fit to be shown.
    func record(_ key: SettingKey, shown: String, origin: SettingOrigin) {
        effective.append(EffectiveSetting(key: key.path, variable: key.variable, value: shown, origin: origin))
    }

    /// The node at a path of the YAML file, unless it is absent or empty.
    func node(_ path: String) -> YAMLNode? {
        var node = yaml
        for name in path.split(separator: ".") {
            guard case .mapping(let members) = node?.content else { return nil }
            node = members.first { $0.name == name }?.value
        }
        return node.flatMap { $0.isNull ? nil : $0 }
    }

    func origin(of node: YAMLNode) -> SettingOrigin { .file(yamlFile, node.position) }

    private func fromEnvironment(_ key: SettingKey) -> Value? {
        let direct = environment[key.variable].flatMap { $0.isEmpty ? nil : $0 }
        let fileVariable = key.variable + "_FILE"
        guard let path = environment[fileVariable], !path.isEmpty else {
            return direct.map { Value(text: $0, origin: .variable(key.variable)) }
        }
        guard direct == nil else {
            report("\(key.variable) is set as well: keep one of the two", at: .variable(fileVariable))
            return nil
        }
        do {
            var text = try TextFile.read(path, maximumBytes: 65_536)
            // Files end in a line break that is no part of the secret.
            if text.hasSuffix("\r\n") || text.hasSuffix("\n") { text.removeLast() }
            guard !text.isEmpty else {
                report("the file \(path) is empty: put the value of \(key.path) in it", at: .variable(fileVariable))
                return nil
            }
            return Value(text: text, origin: .secretFile(variable: fileVariable, path: path))
        } catch {
            let fault = error.problems.first?.message ?? "cannot be read"
            report("the file \(path) \(fault)", at: .variable(fileVariable))
            return nil
        }
    }

    private func fromStack(_ key: SettingKey) -> Value? {
        guard let entry = stack[key.variable], !entry.value.isEmpty else { return nil }
        return Value(text: entry.value, origin: .file(stackPath, SourcePosition(line: entry.line, column: 1)))
    }

    private func fromYAML(_ key: SettingKey) -> Value? {
        guard let node = node(key.path) else { return nil }
        switch node.content {
        case .scalar(_, let text): return text.isEmpty ? nil : Value(text: text, origin: origin(of: node))
        case .sequence(let nodes) where SettingKey.lists.contains(key):
            var texts: [String] = []
            for element in nodes {
                guard case .scalar(_, let text) = element.content, !text.contains(",") else {
                    report("\(key.path) must be a list of texts", at: origin(of: element))
                    continue
                }
                texts.append(text)
            }
            return texts.isEmpty ? nil : Value(text: texts.joined(separator: ","), origin: origin(of: node))
        case .sequence, .mapping:
            report("\(key.path) must be a single value, not a \(node.typeName)", at: origin(of: node))
            return nil
        }
    }
}
