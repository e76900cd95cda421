/// One step into a document: a member of an object or an element of an array.
package enum PathElement: Hashable, Sendable, CustomStringConvertible {
    case key(String)
    case index(Int)

    package var description: String {
        switch self {
        case .key(let name): name
        case .index(let index): "[\(index)]"
        }
    }
}

extension [PathElement] {
    /// The path as people write it: `stages[2].needs[0]`.
    package var spelled: String {
        var text = ""
        for element in self {
            if case .key = element, !text.isEmpty { text += "." }
            text += element.description
        }
        return text
    }
}

extension PathElement: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    package init(stringLiteral value: String) { self = .key(value) }
    package init(integerLiteral value: Int) { self = .index(value) }
}
