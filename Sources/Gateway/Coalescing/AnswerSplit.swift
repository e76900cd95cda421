import NIOCore
import Pipeline

/// Divides the answer to a call with several prompts into those that each of them alone would have got.
struct AnswerSplit {
    /// Why an answer cannot be divided.
    enum Fault: Error {
        /// It is not what the call asked for.
        case unexpected
        /// The tokens of each answer are not told, so that nobody could be charged what they took.
        case uncounted
    }

    /// One prompt's part.
    private struct Part {
        /// The elements of `choices` or `data`, rewritten.
        var elements: [String] = []
        var prompt = 0
        var completion = 0
    }

    private let bytes: UnsafeRawBufferPointer
    private let answers: Int
    private var parts: [Part]
    /// Members before and after the list of answers that are the same for all.
    private var common: [String] = []
    private var id: String?
    private var total = TokenUse()
    private var listName = ""

    /// - Parameters:
    ///   - bytes: the whole answer.
    ///   - weights: a prompt each; how much of the prompts' tokens each one has, where the model server tells only the sum.
    ///   - answers: to each prompt.
    /// - Returns: a body for each prompt.
    static func split(
        _ bytes: UnsafeRawBufferPointer, endpoint: Endpoint, weights: [Int], answers: Int
    ) throws -> [String] {
        var split = AnswerSplit(bytes, prompts: weights.count, answers: answers)
        try split.read(isCounted: endpoint == .completions)
        if endpoint == .embeddings { split.apportion(weights) }
        return split.parts.indices.map { split.body($0) }
    }

    private init(_ bytes: UnsafeRawBufferPointer, prompts: Int, answers: Int) {
        self.bytes = bytes
        self.answers = answers
        parts = Array(repeating: Part(), count: prompts)
    }

    private mutating func read(isCounted: Bool) throws {
        listName = isCounted ? "choices" : "data"
        if let use = TokenUse(lastIn: bytes) { total = use }
        var cursor = JSONCursor(bytes)
        guard try cursor.beginObject() else { throw Fault.unexpected }
        var seen = 0
        repeat {
            let name = text(try cursor.memberName().range)
            if name == listName {
                seen = try readList(&cursor, isCounted: isCounted)
            } else if name == "id", cursor.peek() == UInt8(ascii: "\"") {
                id = text(try cursor.text().range)
            } else {
                let value = text(try cursor.skipValue())
                if name != "usage" { common.append("\"\(name)\":\(value)") }
            }
        } while try cursor.hasNextMember()
        try cursor.end()
        guard seen == parts.count * answers else { throw Fault.unexpected }
        if isCounted {
            // Each answer's tokens were counted one by one: together they are what the model server counted.
            let prompt = parts.reduce(0) { $0 + $1.prompt }
            let completion = parts.reduce(0) { $0 + $1.completion }
            guard prompt == total.prompt, completion == total.completion else { throw Fault.uncounted }
        }
    }

    private mutating func readList(_ cursor: inout JSONCursor, isCounted: Bool) throws -> Int {
        var seen = 0
        try cursor.take(UInt8(ascii: "["))
        if cursor.takes(UInt8(ascii: "]")) { return 0 }
        while true {
            try readElement(&cursor, isCounted: isCounted)
            seen += 1
            if cursor.takes(UInt8(ascii: ",")) { continue }
            try cursor.take(UInt8(ascii: "]"))
            return seen
        }
    }

    private mutating func readElement(_ cursor: inout JSONCursor, isCounted: Bool) throws {
        var members: [String] = []
        var index: Int?
        var prompt: Int?
        var completion: Int?
        guard try cursor.beginObject() else { throw Fault.unexpected }
        repeat {
            let name = text(try cursor.memberName().range)
            switch name {
            case "index":
                index = Int(text(try cursor.skipValue()))
            case "token_ids" where isCounted: completion = try count(&cursor)
            case "prompt_token_ids" where isCounted: prompt = try count(&cursor)
            default:
                let value = text(try cursor.skipValue())
                members.append("\"\(name)\":\(value)")
            }
        } while try cursor.hasNextMember()
        guard let index, index >= 0, index < parts.count * answers else { throw Fault.unexpected }
        let part = index / answers
        if isCounted {
            guard let completion else { throw Fault.uncounted }
            parts[part].completion += completion
            // Told with each of several answers, and taken once.
            if index % answers == 0 {
                guard let prompt else { throw Fault.uncounted }
                parts[part].prompt = prompt
            }
        }
        parts[part].elements.append("{\"index\":\(index % answers),\(members.joined(separator: ","))}")
    }

    /// Numbers in a list.
    private func count(_ cursor: inout JSONCursor) throws -> Int? {
        guard cursor.peek() == UInt8(ascii: "[") else {
            try cursor.skipValue()
            return nil
        }
        let place = try cursor.skipValue()
        let inner = bytes[place].dropFirst().dropLast()
        guard inner.contains(where: { $0 &- 0x30 < 10 }) else { return 0 }
        return inner.reduce(1) { $0 + ($1 == UInt8(ascii: ",") ? 1 : 0) }
    }

    /// Divides the prompts' tokens by weight, so that their sum stays what it is (largest remainders).
    private mutating func apportion(_ weights: [Int]) {
        let sum = max(1, weights.reduce(0, +))
        var rest = total.prompt
        var remainders: [(Int, part: Int)] = []
        for (part, weight) in weights.enumerated() {
            let (share, remainder) = (total.prompt * weight / sum, total.prompt * weight % sum)
            parts[part].prompt = share
            rest -= share
            remainders.append((remainder, part))
        }
        for (_, part) in remainders.sorted(by: { $0.0 > $1.0 }).prefix(rest) { parts[part].prompt += 1 }
    }

    private func body(_ index: Int) -> String {
        let part = parts[index]
        var members = id.map { ["\"id\":\"\($0)-\(index)\""] } ?? []
        members += common
        members.append("\"\(listName)\":[\(part.elements.joined(separator: ","))]")
        var use = "\"prompt_tokens\":\(part.prompt),\"total_tokens\":\(part.prompt + part.completion)"
        if listName == "choices" { use += ",\"completion_tokens\":\(part.completion)" }
        members.append("\"usage\":{\(use)}")
        return "{\(members.joined(separator: ","))}"
    }

    private func text(_ place: Range<Int>) -> String { String(decoding: bytes[place], as: UTF8.self) }
}
