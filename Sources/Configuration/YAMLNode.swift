import Pipeline

/// A piece of a YAML document that knows where it stands.
struct YAMLNode: Sendable {
    struct Member: Sendable {
        var name: String
        /// Of the name.
        var position: SourcePosition
        var value: YAMLNode
    }

    enum Content: Sendable {
        /// Any value but an array or an object, and how it was written.
        case scalar(JSONValue, text: String)
        case sequence([YAMLNode])
        case mapping([Member])
    }

    var content: Content
    var position: SourcePosition

    var json: JSONValue {
        switch content {
        case .scalar(let value, _): value
        case .sequence(let nodes): .array(nodes.map(\.json))
        case .mapping(let members):
            .object(Dictionary(members.map { ($0.name, $0.value.json) }, uniquingKeysWith: { first, _ in first }))
        }
    }

    var isNull: Bool {
        if case .scalar(.null, _) = content { true } else { false }
    }

    /// The word for the node's type in messages.
    var typeName: String {
        switch content {
        case .scalar(let value, _): value.typeName
        case .sequence: "list"
        case .mapping: "mapping"
        }
    }

    /// The place of the node at `path`, or of the nearest one above it that was written down.
    func position(at path: some Collection<PathElement>) -> SourcePosition {
        guard let first = path.first else { return position }
        switch (first, content) {
        case (.key(let name), .mapping(let members)):
            guard let member = members.first(where: { $0.name == name }) else { return position }
            return member.value.position(at: path.dropFirst())
        case (.index(let index), .sequence(let nodes)):
            guard nodes.indices.contains(index) else { return position }
            return nodes[index].position(at: path.dropFirst())
        default: return position
        }
    }
}
