import Pipeline
import Yams

/// Reads YAML within limits, so that no file takes the process down: 1 MiB of text, 100,000 nodes after aliases
/// are followed, 64 levels.
enum YAMLDocument {
    static let maximumBytes = 1 << 20
    static let maximumNodes = 100_000
    static let maximumDepth = 64

    /// - Parameter file: names the text in messages.
    /// - Throws: ``ConfigurationError`` with file, line and column.
    static func parse(_ text: String, file: String) throws(ConfigurationError) -> YAMLNode {
        guard text.utf8.count <= maximumBytes else {
            throw ConfigurationError(
                .malformed, source: file, "\(text.utf8.count) bytes are more than the \(maximumBytes) that are read")
        }
        try YAMLAliasGuard.check(text, file: file)
        let root: Node?
        do {
            root = try Parser(yaml: text).singleRoot()
        } catch let error as YamlError {
            throw Self.error(error, file: file)
        } catch {
            throw ConfigurationError(.malformed, source: file, "not YAML: \(error)")
        }
        guard let root else {
            throw ConfigurationError(
                .malformed, source: file, at: SourcePosition(line: 1, column: 1), "the file is empty")
        }
        var builder = YAMLTreeBuilder(file: file)
        return try builder.node(from: root, depth: 0)
    }

    private static func error(_ error: YamlError, file: String) -> ConfigurationError {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let circumstance = context.map { " (\($0.text))" } ?? ""
            return ConfigurationError(
                .malformed, source: file, at: SourcePosition(line: max(mark.line, 1), column: max(mark.column, 1)),
                "not valid YAML: \(problem)\(circumstance)")
        case .duplicatedKeysInMapping(let names, let context):
            let spelled = names.map { "\"\($0)\"" }.joined(separator: ", ")
            return ConfigurationError(
                .malformed, source: file, at: SourcePosition(line: context.mark.line, column: context.mark.column),
                "\(names.count == 1 ? "the key \(spelled) is" : "the keys \(spelled) are") given more than once in this "
                    + "mapping, first here: keep one")
        case .reader(let problem, let offset, _, _):
            let place = offset.map { " at byte \($0)" } ?? ""
            return ConfigurationError(.malformed, source: file, "not readable as YAML\(place): \(problem)")
        default:
            return ConfigurationError(.malformed, source: file, "not valid YAML: \(error)")
        }
    }
}
