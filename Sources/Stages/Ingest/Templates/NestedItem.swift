/// One item of a nested field.
struct NestedItem: Hashable, Sendable {
    struct Part: Hashable, Sendable {
        var name: String
        var text: String
    }

    /// From 1.
    var index: Int
    var text: String
    /// In the order of the source; a name may come several times.
    var parts: [Part]

    func values(of name: String) -> [String] {
        parts.filter { $0.name == name && !$0.text.isEmpty }.map(\.text)
    }
}
