import Pipeline

/// One raw record: named values in the order of the source.
struct Record {
    var members: [RecordValue.Member]

    subscript(name: String) -> RecordValue? {
        for member in members where member.key == name { return member.value }
        return nil
    }

    /// Looks `path` up as a whole name first, then as names joined with dots that lead into objects.
    func value(at path: String) -> RecordValue? {
        if let value = self[path] { return value }
        guard path.utf8.contains(UInt8(ascii: ".")) else { return nil }
        let steps = path.split(separator: ".", omittingEmptySubsequences: false)
        var value = RecordValue.object(members)
        for step in steps {
            guard let next = value.member(String(step)) else { return nil }
            value = next
        }
        return value
    }
}
