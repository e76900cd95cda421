import AMQPClient
import Broker
import Pipeline
import Testing

/// Events as producers of every kind send them.
@Suite struct EnvelopeTests {
    private func decode(_ message: AMQPMessage) throws(EnvelopeError) -> CloudEvent<DataAvailable> {
        try Envelope.decode(DataAvailable.self, from: message, types: [MessageType.dataAvailable])
    }

    private func refusal(_ text: String, headers: [String: AMQPValue] = [:]) -> String? {
        do {
            _ = try decode(AMQPMessage(body: Array(text.utf8), headers: headers))
            return nil
        } catch {
            return error.description
        }
    }

    private static let good = """
        {"specversion":"1.0","type":"dev.martlet.data.available.v1","source":"/s","id":"1","data":{"pipeline":"p"}}
        """

    @Test func structuredMode() throws {
        let event = try decode(AMQPMessage(body: Array(Self.good.utf8)))
        #expect(event.data?.pipeline == "p")
        #expect(event.id == "1")
    }

    @Test func unknownAttributesAndOtherContentTypesAreFine() throws {
        let text = Self.good.replacing(
            "\"id\":\"1\"", with: "\"id\":\"1\",\"myextension\":{\"deep\":[1]},\"dataschema\":\"x\"")
        let event = try decode(AMQPMessage(body: Array(text.utf8), contentType: "text/plain"))
        #expect(event.data?.pipeline == "p")
    }

    @Test(arguments: ["cloudEvents:", "cloudEvents_"])
    func binaryMode(prefix: String) throws {
        let event = try decode(
            AMQPMessage(
                body: Array(#"{"pipeline":"p","parameters":{"n":1}}"#.utf8),
                headers: [
                    prefix + "specversion": "1.0", prefix + "type": .string(MessageType.dataAvailable),
                    prefix + "source": "/s", prefix + "id": "7", "other": .int64(1),
                ]))
        #expect(event.id == "7")
        #expect(event.data?.parameters == ["n": 1])
    }

    @Test func whatIsWrongIsNamed() {
        #expect(refusal("hello")?.contains("not JSON") == true)
        #expect(refusal("")?.contains("not JSON") == true)
        #expect(refusal("[1]") != nil)
        #expect(refusal("\u{FEFF}[]") != nil)
        #expect(refusal(Self.good.replacing("1.0", with: "0.3"))?.contains("0.3") == true)
        #expect(refusal(Self.good.replacing("available.v1", with: "available.v9"))?.contains("available.v9") == true)
        #expect(refusal(Self.good.replacing("\"id\":\"1\",", with: ""))?.contains("lacks \"id\"") == true)
        #expect(
            refusal(Self.good.replacing("\"id\":\"1\"", with: "\"id\":\"\""))?.contains("must not be empty") == true)
        #expect(refusal(Self.good.replacing("\"/s\"", with: "\"\(String(repeating: "s", count: 513))\"")) != nil)
        #expect(
            refusal(Self.good.replacing("{\"pipeline\":\"p\"}", with: "{}"))?.contains("data lacks \"pipeline\"")
                == true)
        #expect(
            refusal(Self.good.replacing("{\"pipeline\":\"p\"}", with: "{\"pipeline\":7}"))?.contains("data.pipeline")
                == true)
        #expect(refusal(Self.good.replacing(",\"data\":{\"pipeline\":\"p\"}", with: ""))?.contains("no data") == true)
        #expect(refusal(Self.good.replacing("\"p\"", with: "\"\u{1}\"")) != nil)
    }

    @Test func eachEventOfABatchIsReadByItself() throws {
        func read(_ text: String) throws -> [Result<CloudEvent<DataAvailable>, EnvelopeError>] {
            try Envelope.decodeAll(
                DataAvailable.self,
                from: AMQPMessage(body: Array(text.utf8), contentType: "application/cloudevents-batch+json"),
                types: [MessageType.dataAvailable])
        }
        let events = try read("[\(Self.good), 7, {}, \(Self.good.replacing("1.0", with: "0.3")), \(Self.good)]")
        #expect(events.map { try? $0.get().id } == ["1", nil, nil, nil, "1"])
        let refusals = events.compactMap { event in
            if case .failure(let error) = event { error.description } else { nil }
        }
        #expect(refusals.map { $0.prefix(12) } == ["event 2 of 5", "event 3 of 5", "event 4 of 5"])
        #expect(refusals[1].contains("lacks"))
        #expect(throws: EnvelopeError.self) { try read("[]") }
        #expect(throws: EnvelopeError.self) { try read(Self.good) }
        #expect(throws: EnvelopeError.self) { try read("[\(Self.good)") }
    }

    @Test func bytesThatAreNoTextAreRefused() {
        #expect(throws: EnvelopeError.self) { _ = try decode(AMQPMessage(body: [0xFF, 0xFE, 0x00])) }
    }

    @Test func deepNestingIsRefusedAndDoesNotOverflow() {
        let deep = String(repeating: "[", count: 200_000) + String(repeating: "]", count: 200_000)
        #expect(refusal(Self.good.replacing("{\"pipeline\":\"p\"}", with: deep)) != nil)
        #expect(refusal(Self.good.replacing("\"p\"", with: "\"p\",\"parameters\":{\"x\":\(deep)}")) != nil)
    }
}
