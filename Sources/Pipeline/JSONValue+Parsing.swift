extension JSONValue {
    /// Reads a JSON text (RFC 8259, UTF-8), strictly and many times as fast as the general decoder: every task is several
    /// messages. Whole numbers that fit in 64 bits become integers; spelled with a point or an
    /// exponent, only below 2^53.
    /// - Throws: ``JSONFault``.
    package init(json bytes: [UInt8]) throws(JSONFault) {
        let parsed: Result<RecordValue, JSONFault> = bytes.withUnsafeBufferPointer { bytes in
            do throws(JSONFault) {
                return .success(try JSONParser.parse(bytes, maximumDepth: Self.maximumDepth))
            } catch {
                return .failure(error)
            }
        }
        let value = try parsed.get()
        do throws(TooLarge) {
            self = try JSONValue(value)
        } catch {
            // Every number is somewhere in the text, the first of equal ones first.
            let place = bytes.firstRange(of: error.number.utf8)?.lowerBound ?? 0
            throw JSONFault(offset: place, message: "the number \(error.number.prefix(40)) is too large for a double")
        }
    }

    /// Arrays and objects inside one another: what the general decoder reads, and the envelopes around it.
    package static let maximumDepth = 520

    private struct TooLarge: Error {
        var number: String
    }

    private init(_ value: RecordValue) throws(TooLarge) {
        switch value {
        case .null: self = .null
        case .bool(let flag): self = .bool(flag)
        case .number(let text): self = try Self.number(text)
        case .string(let text): self = .string(text)
        case .array(let elements):
            var array: [JSONValue] = []
            array.reserveCapacity(elements.count)
            for element in elements { array.append(try JSONValue(element)) }
            self = .array(array)
        case .object(let members):
            var object = [String: JSONValue](minimumCapacity: members.count)
            for member in members { object[member.key] = try JSONValue(member.value) }
            self = .object(object)
        }
    }

    /// - Parameter text: a JSON number.
    private static func number(_ text: String) throws(TooLarge) -> JSONValue {
        if let exact = Int64(text) { return .int(exact) }
        guard let value = Double(text), value.isFinite else { throw TooLarge(number: text) }
        // A whole number is an integer however it is spelled, where a double can tell it from its neighbours.
        if value.magnitude < 9_007_199_254_740_992, let whole = Int64(exactly: value) { return .int(whole) }
        return .double(value)
    }
}
