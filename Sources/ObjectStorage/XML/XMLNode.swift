/// An element of a small XML document: a name without its prefix, children, and the text inside.
struct XMLNode: Sendable, Hashable {
    var name: String
    var children: [XMLNode] = []
    /// Character data of this element, its children's not included.
    var text = ""

    /// The first child of that name.
    subscript(name: String) -> XMLNode? {
        children.first { $0.name == name }
    }

    func all(_ name: String) -> [XMLNode] {
        children.filter { $0.name == name }
    }

    /// The text of the first child of that name.
    func text(_ name: String) -> String? {
        self[name]?.text
    }
}
