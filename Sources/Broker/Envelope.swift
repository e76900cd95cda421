package import AMQPClient
import FoundationEssentials
package import Pipeline

/// CloudEvents to bytes and back.
package enum Envelope {
    /// Structured content mode.
    package static let contentType = "application/cloudevents+json"
    /// Batched content mode, which the JSON format defines
    /// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#4-json-batch-format).
    static let batchContentType = "application/cloudevents-batch+json"

    package static func encode<Payload>(_ event: CloudEvent<Payload>) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        return Array(try encoder.encode(event))
    }

    /// The payload is JSON already, so it is put in as it is instead of being decoded and encoded again.
    static func task(_ task: Broker.Task, time: Timestamp) -> [UInt8] {
        text(
            type: MessageType.task, source: "/martlet/scheduler", id: task.messageID,
            subject: task.id.run.description, time: time, attempt: task.attempt, traceparent: task.traceparent,
            tracestate: task.tracestate, data: task.payload)
    }

    /// Every task has a result, so it is spelled here and not by the encoder, which takes several times as long.
    static func result(_ result: TaskResult, id: String, traceparent: String?, tracestate: String?) -> [UInt8] {
        text(
            type: MessageType.taskResult, source: "/martlet/worker/" + result.worker, id: id,
            subject: result.task.run.description, time: result.finishedAt, attempt: nil, traceparent: traceparent,
            tracestate: tracestate, data: result.json)
    }

    static func batch(_ events: [[UInt8]]) -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(events.reduce(1) { $0 + $1.count + 1 })
        for event in events {
            body.append(body.isEmpty ? UInt8(ascii: "[") : UInt8(ascii: ","))
            body += event
        }
        body.append(UInt8(ascii: "]"))
        return body
    }

    /// - Parameter data: JSON.
    private static func text(
        type: String, source: String, id: String, subject: String, time: Timestamp, attempt: Int?,
        traceparent: String?, tracestate: String?, data: String
    ) -> [UInt8] {
        var text = #"{"specversion":"1.0","type":"\#(type)","source":"#
        JSONValue.quote(source, to: &text)
        text += #","id":"#
        JSONValue.quote(id, to: &text)
        text += #","subject":"#
        JSONValue.quote(subject, to: &text)
        text += #","time":"\#(time.precise)","datacontenttype":"application/json""#
        if let attempt { text += #","attempt":\#(attempt)"# }
        if let traceparent {
            text += #","traceparent":"#
            JSONValue.quote(traceparent, to: &text)
        }
        if let tracestate {
            text += #","tracestate":"#
            JSONValue.quote(tracestate, to: &text)
        }
        text += #","data":"# + data + "}"
        return Array(text.utf8)
    }

    /// Reads a message as a CloudEvent of one of `types`.
    /// - Throws: ``EnvelopeError``, for the dead letters.
    package static func decode<Payload: JSONReadable>(
        _ payload: Payload.Type, from message: AMQPMessage, types: Set<String>
    ) throws(EnvelopeError) -> CloudEvent<Payload> {
        try check(try parse(message), types: types)
    }

    /// Reads a message as one CloudEvent, or as a batch of them: each by itself, so that one that is JSON but no such
    /// event costs no other.
    package static func decodeAll<Payload: JSONReadable>(
        _ payload: Payload.Type, from message: AMQPMessage, types: Set<String>
    ) throws(EnvelopeError) -> [Result<CloudEvent<Payload>, EnvelopeError>] {
        guard message.contentType == batchContentType else {
            return [.success(try decode(payload, from: message, types: types))]
        }
        let document: JSONValue
        do {
            document = try JSONValue(json: message.body)
        } catch {
            throw EnvelopeError("not JSON: \(error)")
        }
        guard case .array(let events) = document, !events.isEmpty else {
            throw EnvelopeError("a batch is an array of CloudEvents, at least one")
        }
        return events.enumerated().map { index, event in
            do {
                return .success(try check(try CloudEvent(JSONPlace(event)), types: types))
            } catch {
                return .failure(EnvelopeError("event \(index + 1) of \(events.count): \(reason(error))"))
            }
        }
    }

    private static func check<Payload>(
        _ event: CloudEvent<Payload>, types: Set<String>
    ) throws(EnvelopeError) -> CloudEvent<Payload> {
        guard event.specversion == "1.0" else {
            throw EnvelopeError("specversion is \"\(event.specversion.prefix(20))\"; Martlet reads CloudEvents 1.0")
        }
        guard types.contains(event.type) else {
            throw EnvelopeError(
                "the type \"\(event.type.prefix(120))\" is not known here; expected \(types.sorted().joined(separator: " or "))"
            )
        }
        guard !event.id.isEmpty, !event.source.isEmpty, event.id.utf8.count <= 512, event.source.utf8.count <= 512
        else { throw EnvelopeError("id and source must not be empty and have at most 512 bytes each") }
        guard event.data != nil else { throw EnvelopeError("there is no data") }
        return event
    }

    /// The type alone, to tell results from other messages before reading the rest.
    package static func type(of message: AMQPMessage) -> String? {
        message.type ?? (try? parse(message) as CloudEvent<JSONValue>)?.type
    }

    private static func parse<Payload: JSONReadable>(
        _ message: AMQPMessage
    ) throws(EnvelopeError) -> CloudEvent<Payload> {
        do {
            if let attributes = binaryAttributes(message) {
                return try binary(attributes, body: message.body)
            }
            return try CloudEvent(JSONPlace(try JSONValue(json: message.body)))
        } catch {
            throw EnvelopeError(reason(error))
        }
    }

    /// Binary content mode: the attributes are headers, `cloudEvents:id` or `cloudEvents_id`, as in the AMQP binding.
    private static func binaryAttributes(_ message: AMQPMessage) -> [String: JSONValue]? {
        var attributes: [String: JSONValue] = [:]
        for (name, value) in message.headers {
            for prefix in ["cloudEvents:", "cloudEvents_"] where name.hasPrefix(prefix) {
                guard let text = value.string else { continue }
                attributes[String(name.dropFirst(prefix.count))] = .string(text)
            }
        }
        return attributes["specversion"] == nil ? nil : attributes
    }

    private static func binary<Payload: JSONReadable>(
        _ attributes: [String: JSONValue], body: [UInt8]
    ) throws -> CloudEvent<Payload> {
        var document = attributes
        document["data"] = try JSONValue(json: body)
        return try CloudEvent(JSONPlace(.object(document)))
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as JSONFault: "not JSON: \(error)"
        case let error as DecodingError: describe(error)
        default: "\(error)"
        }
    }

    /// What a decoding error means, with the path to the place.
    private static func describe(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let keys = context.codingPath.map { key in key.intValue.map { "[\($0)]" } ?? key.stringValue }
            return keys.isEmpty ? "the document" : keys.joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context):
            return "\(path(context)) lacks \"\(key.stringValue)\""
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "\(path(context)): \(context.debugDescription)"
        case .dataCorrupted(let context):
            return "\(path(context)): \(context.debugDescription)"
        @unknown default:
            return "\(error)"
        }
    }
}

/// Why a message is no event that Martlet understands.
package struct EnvelopeError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
