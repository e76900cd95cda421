import Pipeline
import Yams

/// Turns what the parser gives into nodes of our own, counting as aliases are followed.
struct YAMLTreeBuilder {
    let file: String
    private var count = 0

    init(file: String) {
        self.file = file
    }

    mutating func node(from source: Node, depth: Int) throws(ConfigurationError) -> YAMLNode {
        let position = Self.position(of: source)
        count += 1
        guard count <= YAMLDocument.maximumNodes else {
            throw ConfigurationError(
                .malformed, source: file, at: position,
                "with its aliases followed the file has more than \(YAMLDocument.maximumNodes) values")
        }
        guard depth <= YAMLDocument.maximumDepth else {
            throw ConfigurationError(
                .malformed, source: file, at: position, "more than \(YAMLDocument.maximumDepth) levels of nesting")
        }
        switch source {
        case .scalar(let scalar):
            return YAMLNode(
                content: .scalar(try value(of: scalar, at: position), text: scalar.string), position: position)
        case .sequence(let sequence):
            var nodes: [YAMLNode] = []
            for element in sequence {
                nodes.append(try node(from: element, depth: depth + 1))
            }
            return YAMLNode(content: .sequence(nodes), position: position)
        case .mapping(let mapping):
            return YAMLNode(content: .mapping(try members(of: mapping, depth: depth)), position: position)
        case .alias:
            throw ConfigurationError(.malformed, source: file, at: position, "this alias names nothing")
        }
    }

    private mutating func members(of mapping: Node.Mapping, depth: Int) throws(ConfigurationError) -> [YAMLNode.Member]
    {
        var members: [YAMLNode.Member] = []
        var merged: [YAMLNode.Member] = []
        for (key, value) in mapping {
            let position = Self.position(of: key)
            guard case .scalar(let name) = key else {
                throw ConfigurationError(.malformed, source: file, at: position, "a key must be a plain text")
            }
            let node = try node(from: value, depth: depth + 1)
            if name.string == "<<", name.style == .plain {
                merged += try merge(node)
            } else {
                members.append(YAMLNode.Member(name: name.string, position: position, value: node))
            }
        }
        // What the mapping says itself goes before what it takes over; of that, the first goes before the later.
        for member in merged where !members.contains(where: { $0.name == member.name }) {
            members.append(member)
        }
        return members
    }

    /// The members that a merge key brings (https://yaml.org/type/merge.html).
    private func merge(_ node: YAMLNode) throws(ConfigurationError) -> [YAMLNode.Member] {
        switch node.content {
        case .mapping(let members): return members
        case .sequence(let nodes):
            var members: [YAMLNode.Member] = []
            for element in nodes {
                guard case .mapping(let more) = element.content else { throw mergeRefusal(element) }
                members += more
            }
            return members
        case .scalar: throw mergeRefusal(node)
        }
    }

    private func mergeRefusal(_ node: YAMLNode) -> ConfigurationError {
        ConfigurationError(.malformed, source: file, at: node.position, "\"<<\" takes a mapping or a list of mappings")
    }

    private func value(of scalar: Node.Scalar, at position: SourcePosition) throws(ConfigurationError) -> JSONValue {
        let tag = scalar.tag.description
        if tag == "tag:yaml.org,2002:str" { return .string(scalar.string) }
        // The resolver of YAML 1.1 would read `no` as false and 010 as eight.
        guard scalar.style == .plain || tag == "!" else { return .string(scalar.string) }
        if tag != "", !tag.hasPrefix("tag:yaml.org,2002:"), tag != "!" {
            throw ConfigurationError(
                .malformed, source: file, at: position, "the tag \(tag.prefix(80)) is not known: leave it out")
        }
        guard tag != "!" else { return .string(scalar.string) }
        guard let value = YAMLScalar.value(of: scalar.string) else {
            throw ConfigurationError(
                .malformed, source: file, at: position,
                "\(scalar.string.prefix(40)) is not a finite number: write a number, or quotes around a text")
        }
        return value
    }

    private static func position(of node: Node) -> SourcePosition {
        SourcePosition(line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
    }
}
