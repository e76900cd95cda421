import Pipeline

/// One request of a batch.
struct BatchLine {
    /// The client's name of it, unlike the others'.
    let customID: String
    let model: String
    /// Where its body lies in the line.
    let body: Range<Int>

    private static let idLimit = 512

    /// Reads a line.
    /// - Parameters:
    ///   - line: for messages.
    ///   - endpoint: the batch's.
    /// - Throws: `Batch.Fault` of what is wrong with it.
    init(_ bytes: [UInt8], line: Int, endpoint: String) throws(Batch.Fault) {
        var customID: String?
        var body: Range<Int>?
        var method: String?
        var url: String?
        var isStream = false
        var model: String?
        var fault: JSONFault?
        var repeated: String?
        bytes.withUnsafeBytes { bytes in
            do {
                var cursor = JSONCursor(bytes)
                guard try cursor.beginObject() else { return }
                repeat {
                    let name = String(decoding: bytes[try cursor.memberName().range], as: UTF8.self)
                    switch name {
                    case "custom_id":
                        if customID != nil { repeated = name }
                        customID = try Self.string(&cursor)
                    case "method":
                        if method != nil { repeated = name }
                        method = try Self.string(&cursor)
                    case "url":
                        if url != nil { repeated = name }
                        url = try Self.string(&cursor)
                    case "body":
                        if body != nil { repeated = name }
                        guard cursor.peek() == UInt8(ascii: "{") else {
                            try cursor.skipValue()
                            continue
                        }
                        let place = try cursor.skipValue()
                        body = place
                        (model, isStream) = try Self.look(bytes, at: place.lowerBound)
                    default: try cursor.skipValue()
                    }
                } while try cursor.hasNextMember()
                try cursor.end()
            } catch {
                fault = error as? JSONFault
            }
        }
        if let fault {
            throw Batch.Fault(code: "invalid_json_line", line: line, "byte \(fault.offset + 1): \(fault.message)")
        }
        if let repeated {
            throw Batch.Fault(
                code: "duplicate_member", line: line, "\"\(repeated)\" is there twice", parameter: repeated)
        }
        guard let customID, (1...Self.idLimit).contains(customID.utf8.count) else {
            throw Batch.Fault(
                code: "invalid_custom_id", line: line,
                "the line needs a \"custom_id\": a string of 1 to \(Self.idLimit) bytes", parameter: "custom_id")
        }
        guard method == "POST" else {
            throw Batch.Fault(
                code: "invalid_method", line: line, "\"method\" must be \"POST\"", parameter: "method")
        }
        guard url == endpoint else {
            throw Batch.Fault(
                code: "invalid_url", line: line,
                "\"url\" must be \"\(endpoint)\", the batch's endpoint", parameter: "url")
        }
        guard let body, let model else {
            throw Batch.Fault(
                code: "invalid_body", line: line, "\"body\" must be an object with a \"model\"", parameter: "body")
        }
        guard !isStream else {
            throw Batch.Fault(
                code: "invalid_body", line: line, "a batch's answers cannot be streamed: leave \"stream\" out",
                parameter: "body.stream")
        }
        self.customID = customID
        self.model = model
        self.body = body
    }

    /// A string; nil, and passed over, where it is something else.
    private static func string(_ cursor: inout JSONCursor) throws -> String? {
        guard cursor.peek() == UInt8(ascii: "\"") else {
            try cursor.skipValue()
            return nil
        }
        let text = try cursor.text()
        let written = cursor.bytes[text.range]
        guard !text.isPlain else { return String(decoding: written, as: UTF8.self) }
        return try JSONValue(json: [0x22] + Array(written) + [0x22]).stringValue
    }

    private static func look(
        _ bytes: UnsafeRawBufferPointer, at start: Int
    ) throws -> (model: String?, isStream: Bool) {
        var cursor = JSONCursor(bytes, at: start)
        var model: String?
        var isStream = false
        guard try cursor.beginObject() else { return (nil, false) }
        repeat {
            switch String(decoding: bytes[try cursor.memberName().range], as: UTF8.self) {
            case "model": model = try string(&cursor)
            case "stream":
                isStream = cursor.peek() == UInt8(ascii: "t")
                try cursor.skipValue()
            default: try cursor.skipValue()
            }
        } while try cursor.hasNextMember()
        return (model, isStream)
    }
}

extension Batch.Fault: Error {}
