import Glibc
import Pipeline

/// What the gateway reads of a request's body: enough to route, weigh and bound it. All else is passed on as it came.
struct BodyInspection: Sendable {
    /// The model as it was asked for.
    var model = ""
    /// Where the model's name stands in the body, with its quotes.
    var modelPlace = 0..<0
    /// After the opening brace, where a member can be put in.
    var firstMember = 0
    var isStream = false
    /// The value of `stream_options`, if it is there.
    var streamOptions: StreamOptions?
    /// Whether the client itself asked for a last event with the use.
    var includesUsage = false
    /// The answer's tokens at most, if the client bounded them.
    var maximumTokens: Int?
    /// Answers to each prompt.
    var answers = 1
    /// Whether the temperature is zero: then there is one right answer.
    var isGreedy = false
    /// The prompt, the messages or the input, as it stands in the body.
    var prompt = 0..<0
    /// How many prompts `prompt` holds.
    var prompts = 1
    /// Tokens of prompts that were given as numbers; nil for text.
    var promptTokens: Int?
    /// OpenAI's name of a user, or a session, to keep together.
    var session: String?

    /// Tokens of the prompts: counted, or estimated from their bytes.
    ///
    /// Four bytes of English text make about one token of a vocabulary of 32,000 and more; the count that is paid for
    /// comes from the model server.
    var estimatedPromptTokens: Int { promptTokens ?? prompt.count / 4 + 1 }
}

/// Where a request's `stream_options` can be changed.
enum StreamOptions: Equatable, Sendable {
    /// Its value is null, at this place.
    case null(Range<Int>)
    /// It is an object whose members begin here, without `include_usage`.
    case object(firstMember: Int, isEmpty: Bool)
    /// It is an object with `include_usage`, whose value lies here.
    case flag(Range<Int>)
}

/// Why a body cannot be passed on, in OpenAI's terms.
struct BodyFault: Error, Equatable {
    let message: String
    /// The member concerned.
    let parameter: String?
}

extension BodyInspection {
    /// The members that are read; none of them may come twice, because the model server might take the other one.
    private enum Member: Int, CaseIterable {
        case model, stream, streamOptions, maximumTokens, maximumCompletionTokens, answers, bestOf, prompt, messages
        case input, temperature, user, session

        var name: StaticString {
            switch self {
            case .model: "model"
            case .stream: "stream"
            case .streamOptions: "stream_options"
            case .maximumTokens: "max_tokens"
            case .maximumCompletionTokens: "max_completion_tokens"
            case .answers: "n"
            case .bestOf: "best_of"
            case .prompt: "prompt"
            case .messages: "messages"
            case .input: "input"
            case .temperature: "temperature"
            case .user: "user"
            case .session: "session_id"
            }
        }
    }

    /// Reads a body, all of which must be one JSON object.
    /// - Parameter maximumDepth: arrays and objects inside one another.
    init(_ bytes: UnsafeRawBufferPointer, maximumDepth: Int = 64) throws(BodyFault) {
        var cursor = JSONCursor(bytes, maximumDepth: maximumDepth)
        do {
            try read(&cursor)
        } catch let fault as BodyFault {
            throw fault
        } catch let fault as JSONFault {
            throw BodyFault(message: "the body is not a JSON object: \(fault)", parameter: nil)
        } catch {
            throw BodyFault(message: "the body cannot be read: \(error)", parameter: nil)
        }
    }

    private mutating func read(_ cursor: inout JSONCursor) throws {
        var seen: UInt32 = 0
        let hasMembers = try cursor.beginObject()
        firstMember = cursor.at
        if hasMembers {
            repeat {
                let name = try cursor.memberName()
                if let member = Self.member(name, cursor.bytes) {
                    guard seen & 1 << member.rawValue == 0 else {
                        throw BodyFault(
                            message: "the member \"\(member.name)\" comes twice", parameter: "\(member.name)")
                    }
                    seen |= 1 << member.rawValue
                    try read(member, &cursor)
                } else {
                    try cursor.skipValue()
                }
            } while try cursor.hasNextMember()
        }
        try cursor.end()
        guard seen & 1 << Member.model.rawValue != 0 else {
            throw BodyFault(message: "\"model\" is missing: name the model that is to answer", parameter: "model")
        }
    }

    private static let membersByLength: [[(name: StaticString, member: Member)]] = {
        var table = [[(name: StaticString, member: Member)]](repeating: [], count: 24)
        for member in Member.allCases { table[member.name.utf8CodeUnitCount].append((member.name, member)) }
        return table
    }()

    private static func member(_ name: JSONCursor.Text, _ bytes: UnsafeRawBufferPointer) -> Member? {
        if name.isPlain {
            let length = name.range.count
            guard length < membersByLength.count, let base = bytes.baseAddress else { return nil }
            return membersByLength[length].first { candidate in
                memcmp(base + name.range.lowerBound, candidate.name.utf8Start, length) == 0
            }?.member
        }
        // Written with escapes, which the model server would undo.
        let text = Self.decoded(name, bytes)
        return Member.allCases.first { "\($0.name)" == text }
    }

    /// A string's text; its escapes were checked when it was passed over.
    private static func decoded(_ text: JSONCursor.Text, _ bytes: UnsafeRawBufferPointer) -> String {
        if text.isPlain { return String(decoding: bytes[text.range], as: UTF8.self) }
        let quoted = UnsafeRawBufferPointer(rebasing: bytes[text.range.lowerBound - 1..<text.range.upperBound + 1])
        guard case .string(let value)? = try? quoted.withMemoryRebound(to: UInt8.self, { try JSONParser.parse($0) })
        else { return "" }
        return value
    }

    private mutating func read(_ member: Member, _ cursor: inout JSONCursor) throws {
        let next = cursor.peek()
        switch member {
        case .model:
            guard next == UInt8(ascii: "\"") else { throw Self.wrong(member, "a string") }
            let text = try cursor.text()
            modelPlace = text.range.lowerBound - 1..<text.range.upperBound + 1
            model = Self.decoded(text, cursor.bytes)
        case .stream:
            isStream = try Self.flag(member, &cursor)
        case .streamOptions:
            if next == UInt8(ascii: "n") {
                streamOptions = .null(try cursor.skipValue())
            } else {
                try readStreamOptions(&cursor)
            }
        case .maximumTokens, .maximumCompletionTokens:
            guard let count = try Self.integer(member, &cursor) else { return }
            maximumTokens = max(maximumTokens ?? 0, count)
        case .answers, .bestOf:
            guard let count = try Self.integer(member, &cursor, most: Self.answerLimit) else { return }
            answers = max(answers, count)
        case .temperature:
            isGreedy = Self.isZero(cursor.bytes[try cursor.skipValue()])
        case .prompt, .messages, .input:
            try readPrompt(member, &cursor)
        case .user, .session:
            guard next == UInt8(ascii: "\"") else {
                try cursor.skipValue()
                return
            }
            let text = Self.decoded(try cursor.text(), cursor.bytes)
            if member == .session || session == nil { session = text }
        }
    }

    private mutating func readStreamOptions(_ cursor: inout JSONCursor) throws {
        guard try cursor.beginObject() else {
            streamOptions = .object(firstMember: cursor.at - 1, isEmpty: true)
            return
        }
        streamOptions = .object(firstMember: cursor.at, isEmpty: false)
        repeat {
            let name = Self.decoded(try cursor.memberName(), cursor.bytes)
            guard name == "include_usage" else {
                try cursor.skipValue()
                continue
            }
            if case .flag = streamOptions {
                throw BodyFault(
                    message: "the member \"include_usage\" comes twice", parameter: "stream_options.include_usage")
            }
            _ = cursor.peek()
            let start = cursor.at
            includesUsage = try Self.flag(.streamOptions, &cursor)
            streamOptions = .flag(start..<cursor.at)
        } while try cursor.hasNextMember()
    }

    /// A text, several texts, the numbers of tokens, several lists of them, or messages.
    private mutating func readPrompt(_ member: Member, _ cursor: inout JSONCursor) throws {
        guard cursor.peek() == UInt8(ascii: "[") else {
            prompt = try cursor.skipValue()
            return
        }
        let start = cursor.at
        var elements = 0
        var tokens: Int?
        var isNumbers = false
        try cursor.take(UInt8(ascii: "["))
        if !cursor.takes(UInt8(ascii: "]")) {
            while true {
                let first = cursor.peek()
                let place = try cursor.skipValue()
                elements += 1
                if first == UInt8(ascii: "["), member != .messages {
                    tokens = (tokens ?? 0) + Self.commas(cursor.bytes, place) + 1
                } else if let first, first &- 0x30 < 10 {
                    isNumbers = true
                }
                if cursor.takes(UInt8(ascii: ",")) { continue }
                try cursor.take(UInt8(ascii: "]"))
                break
            }
        }
        prompt = start..<cursor.at
        prompts = member == .messages || isNumbers ? 1 : max(1, elements)
        promptTokens = isNumbers ? elements : tokens
    }

    private static func commas(_ bytes: UnsafeRawBufferPointer, _ place: Range<Int>) -> Int {
        bytes[place].reduce(0) { $1 == UInt8(ascii: ",") ? $0 + 1 : $0 }
    }

    private static func flag(_ member: Member, _ cursor: inout JSONCursor) throws -> Bool {
        let next = cursor.peek()
        try cursor.skipValue()
        switch next {
        case UInt8(ascii: "t"): return true
        case UInt8(ascii: "f"), UInt8(ascii: "n"): return false
        default: throw wrong(member, "true or false")
        }
    }

    /// Answers to one prompt, as OpenAI bounds them.
    private static let answerLimit = 128

    private static func integer(
        _ member: Member, _ cursor: inout JSONCursor, most: Int = 10_000_000
    ) throws -> Int? {
        if cursor.peek() == UInt8(ascii: "n") {
            try cursor.skipValue()
            return nil
        }
        var digits = cursor.bytes[try cursor.skipValue()]
        // JSON has a nought of its own for what is a little less than it.
        if digits.count == 2, digits.first == UInt8(ascii: "-"), digits.last == UInt8(ascii: "0") {
            digits.removeFirst()
        }
        var value = 0
        for byte in digits {
            guard byte &- 0x30 < 10, value <= most else { throw wrong(member, "a whole number from 0 to \(most)") }
            value = value * 10 + Int(byte - 0x30)
        }
        guard value <= most else { throw wrong(member, "a whole number from 0 to \(most)") }
        return value
    }

    /// Whether a JSON value is a number, and that nought.
    private static func isZero(_ value: Slice<UnsafeRawBufferPointer>) -> Bool {
        var isNumber = false
        for byte in value {
            switch byte {
            case UInt8(ascii: "0"): isNumber = true
            case UInt8(ascii: "-"), UInt8(ascii: "."): continue
            case UInt8(ascii: "e"), UInt8(ascii: "E"): return isNumber
            default: return false
            }
        }
        return isNumber
    }

    private static func wrong(_ member: Member, _ expected: String) -> BodyFault {
        BodyFault(message: "\"\(member.name)\" must be \(expected)", parameter: "\(member.name)")
    }
}
