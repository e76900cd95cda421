/// PostgreSQL's text form of one-dimensional arrays: `{1,NULL,"a \"b\""}`.
enum ArrayText {
    /// The elements without quotes and escapes, nil for NULL; nil when this is no one-dimensional array.
    static func elements(of text: ArraySlice<UInt8>) -> [[UInt8]?]? {
        guard text.first == 0x7B, text.last == 0x7D, text.count >= 2 else { return nil }
        var result: [[UInt8]?] = []
        var index = text.startIndex + 1
        let end = text.endIndex - 1
        guard index < end else { return [] }
        while true {
            var element: [UInt8] = []
            var isQuoted = false
            if index < end, text[index] == 0x22 {
                isQuoted = true
                index += 1
                while index < end, text[index] != 0x22 {
                    if text[index] == 0x5C { index += 1 }
                    guard index < end else { return nil }
                    element.append(text[index])
                    index += 1
                }
                guard index < end else { return nil }
                index += 1
            } else {
                while index < end, text[index] != 0x2C {
                    guard text[index] != 0x7B, text[index] != 0x7D else { return nil }
                    element.append(text[index])
                    index += 1
                }
                guard !element.isEmpty else { return nil }
            }
            let isNull = !isQuoted && element.elementsEqual("NULL".utf8)
            result.append(isNull ? nil : element)
            if index == end { return result }
            guard text[index] == 0x2C else { return nil }
            index += 1
        }
    }
}
