/// One of the five fields of a ``CronSchedule``.
struct CronField {
    let name: String
    let range: ClosedRange<Int>
    /// Names for the values from `firstNamed` on.
    let names: [String]
    let firstNamed: Int

    static let minute = CronField(name: "minute", range: 0...59, names: [], firstNamed: 0)
    static let hour = CronField(name: "hour", range: 0...23, names: [], firstNamed: 0)
    static let dayOfMonth = CronField(name: "day of the month", range: 1...31, names: [], firstNamed: 0)
    static let month = CronField(
        name: "month", range: 1...12,
        names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], firstNamed: 1)
    static let dayOfWeek = CronField(
        name: "day of the week", range: 0...7, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"], firstNamed: 0)

    /// A bit for every value that `text` names: `*`, `5`, `1-5`, each with `/step`, in a list with commas.
    func mask(of text: Substring) throws(PipelineError) -> UInt64 {
        var mask: UInt64 = 0
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            mask |= try self.mask(ofItem: item)
        }
        return mask
    }

    private func mask(ofItem item: Substring) throws(PipelineError) -> UInt64 {
        let parts = item.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let span = parts.first, !span.isEmpty else { throw refusal(of: item, "is not a value") }
        var step = 1
        if parts.count == 2 {
            guard let number = Self.number(parts[1]), (1...range.upperBound + 1).contains(number) else {
                throw refusal(of: item, "has no valid step after the slash")
            }
            step = number
        }
        let bounds = try self.bounds(of: span, in: item, isStepped: parts.count == 2)
        var mask: UInt64 = 0
        for value in stride(from: bounds.lowerBound, through: bounds.upperBound, by: step) {
            mask |= 1 << UInt64(value)
        }
        return mask
    }

    private func bounds(
        of span: Substring, in item: Substring, isStepped: Bool
    ) throws(PipelineError) -> ClosedRange<Int> {
        // Seven is Sunday again: a step over the week must not count it as an eighth day.
        let top = names.count == 7 ? 6 : range.upperBound
        if span == "*" { return range.lowerBound...top }
        let ends = span.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let low = try value(of: ends[0], in: item)
        guard ends.count == 2 else { return low...(isStepped ? max(low, top) : low) }
        var high = try value(of: ends[1], in: item)
        // `fri-sun`: Sunday ends the week here.
        if names.count == 7, high == 0, low > 0 { high = 7 }
        guard low <= high else { throw refusal(of: item, "runs backwards") }
        return low...high
    }

    private func value(of text: Substring, in item: Substring) throws(PipelineError) -> Int {
        if let index = names.firstIndex(of: text.lowercased()) { return index + firstNamed }
        guard let number = Self.number(text) else { throw refusal(of: item, "is not a value") }
        guard range.contains(number) else { throw refusal(of: item, "is out of range") }
        return number
    }

    private func refusal(of item: Substring, _ fault: String) -> PipelineError {
        let named = names.first.map { first in " or \(first) to \(names[names.count - 1])" } ?? ""
        return PipelineError(
            .invalidCron,
            "the \(name) \"\(item.prefix(40))\" \(fault): use \(range.lowerBound) to \(range.upperBound)\(named), "
                + "ranges as a-b, steps as */n, lists with commas")
    }

    private static func number(_ text: Substring) -> Int? {
        guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }
}
