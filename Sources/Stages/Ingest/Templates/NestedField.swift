import Pipeline

/// A field that holds several items: a JSON array, or text in which items and their named parts are packed,
/// such as `::PHASE:Testing:DESCRIPTION:Fuzz it.::PHASE:…::`.
package struct NestedField: Hashable, Sendable {
    var field: String
    /// Between items; nil for a JSON array.
    var separator: String?
    /// Between the name of a part and its text.
    var mark = ":"
    /// The names of the parts; empty for items without parts.
    var parts: [String] = []
    /// The parts with which an item can begin. A separator that none of them follows is text.
    var starts: [String] = []

    init(_ part: ParameterReader) throws(IngestError) {
        var reader = part
        guard let field = try reader.string("field"), !field.isEmpty else {
            throw reader.fault("field", "is required: the field that holds the items")
        }
        self.field = field
        separator = try reader.string("separator")
        mark = try reader.string("mark") ?? mark
        parts = try reader.strings("parts") ?? []
        starts = try reader.strings("starts") ?? parts
        try reader.finish()
        if separator?.isEmpty == true { throw reader.fault("separator", "must not be empty") }
        if mark.isEmpty { throw reader.fault("mark", "must not be empty") }
        if let stray = starts.first(where: { !parts.contains($0) }) {
            throw reader.fault("starts", "names \"\(stray)\", which is not in \"parts\"")
        }
        if let twice = CSVReader.firstRepeated(parts) { throw reader.fault("parts", "names \"\(twice)\" twice") }
    }

    var jsonValue: JSONValue {
        .object([
            "field": .string(field), "separator": separator.map(JSONValue.string) ?? .null, "mark": .string(mark),
            "parts": .array(parts.map(JSONValue.string)), "starts": .array(starts.map(JSONValue.string)),
        ])
    }

    /// The items of `record`, in order.
    func items(of record: Record) -> [NestedItem] {
        guard let value = record.value(at: field) else { return [] }
        guard let separator else { return items(in: value) }
        guard let text = value.text, !text.isEmpty else { return [] }
        let pieces = starts.isEmpty ? text.split(separator: separator) : split(text, by: separator)
        var items: [NestedItem] = []
        for piece in pieces {
            let text = TextFilter.trimmed(String(piece))
            guard !text.isEmpty else { continue }
            items.append(NestedItem(index: items.count + 1, text: text, parts: parts.isEmpty ? [] : named(in: text)))
        }
        return items
    }

    private func items(in value: RecordValue) -> [NestedItem] {
        guard case .array(let elements) = value else { return [] }
        return elements.enumerated().map { index, element in
            guard case .object(let members) = element else {
                return NestedItem(index: index + 1, text: element.text ?? "", parts: [])
            }
            let parts = members.flatMap { member -> [NestedItem.Part] in
                if case .array(let values) = member.value {
                    return values.compactMap(\.text).map { NestedItem.Part(name: member.key, text: $0) }
                }
                return member.value.text.map { [NestedItem.Part(name: member.key, text: $0)] } ?? []
            }
            return NestedItem(index: index + 1, text: "", parts: parts)
        }
    }

    /// Splits where the separator is followed by the name of a first part, or ends the text.
    private func split(_ text: String, by separator: String) -> [Substring] {
        let heads = starts.map { $0 + mark }
        var pieces: [Substring] = []
        var pieceStart = text.startIndex
        var search = text.startIndex
        while let hit = text.firstRange(of: separator, from: search) {
            let rest = text[hit.upperBound...]
            if rest.isEmpty || heads.contains(where: { rest.hasPrefix($0) }) {
                pieces.append(text[pieceStart..<hit.lowerBound])
                pieceStart = hit.upperBound
                search = hit.upperBound
            } else {
                search = text.index(after: hit.lowerBound)
            }
        }
        pieces.append(text[pieceStart...])
        return pieces
    }

    /// `PHASE:Testing:DESCRIPTION:Fuzz it.` as parts. A name counts where the text begins and after the mark.
    private func named(in text: String) -> [NestedItem.Part] {
        var marks: [(name: String, start: String.Index, end: String.Index)] = []
        var index = text.startIndex
        while index < text.endIndex {
            let rest = text[index...]
            let isFirst = index == text.startIndex
            if isFirst || rest.hasPrefix(mark) {
                let name = isFirst ? rest : rest.dropFirst(mark.count)
                if let part = parts.first(where: { name.hasPrefix($0 + mark) }) {
                    let end = text.index(name.startIndex, offsetBy: part.count + mark.count)
                    marks.append((part, index, end))
                    // What follows may be the next mark at once: `PHASE::DESCRIPTION:…` has an empty PHASE.
                    index = end
                    continue
                }
            }
            index = text.index(after: index)
        }
        return marks.enumerated().map { position, found in
            let end = position + 1 < marks.count ? marks[position + 1].start : text.endIndex
            return NestedItem.Part(name: found.name, text: TextFilter.trimmed(String(text[found.end..<end])))
        }
    }
}

extension String {
    /// The first occurrence of `needle` at or after `start`.
    func firstRange(of needle: String, from start: Index) -> Range<Index>? {
        var index = start
        while index < endIndex {
            if self[index...].hasPrefix(needle),
                let end = self.index(index, offsetBy: needle.count, limitedBy: endIndex)
            {
                return index..<end
            }
            index = self.index(after: index)
        }
        return nil
    }
}
