import Pipeline

/// What a placeholder names.
enum TemplateReference: Hashable, Sendable, CustomStringConvertible {
    case field(String)
    case item
    case itemPart(String)
    case itemIndex
    case list(String)

    init(_ name: String) {
        if name == "item" {
            self = .item
        } else if name == "item.index" {
            self = .itemIndex
        } else if name.hasPrefix("item.") {
            self = .itemPart(String(name.dropFirst(5)))
        } else if name.hasPrefix("list.") {
            self = .list(String(name.dropFirst(5)))
        } else {
            self = .field(name)
        }
    }

    var description: String {
        switch self {
        case .field(let name): "{\(name)}"
        case .item: "{item}"
        case .itemPart(let name): "{item.\(name)}"
        case .itemIndex: "{item.index}"
        case .list(let name): "{list.\(name)}"
        }
    }
}

/// What placeholders are filled from.
struct TemplateScope {
    var record: Record
    var item: NestedItem?
    var lists: [String: String] = [:]

    func values(of reference: TemplateReference) -> [String] {
        switch reference {
        case .field(let path):
            guard let value = record.value(at: path) else { return [] }
            if case .array(let elements) = value { return elements.compactMap(\.text) }
            return value.text.map { [$0] } ?? []
        case .item: return item.map { [$0.text] } ?? []
        case .itemIndex: return item.map { [String($0.index)] } ?? []
        case .itemPart(let name): return item?.values(of: name) ?? []
        case .list(let name): return lists[name].map { [$0] } ?? []
        }
    }
}
