import Foundation
import Pipeline
import Testing

/// What the general decoder reads, read alike.
@Suite struct JSONValueTests {
    @Test(arguments: [
        "null", " true ", "false\n", "0", "-0", "7", "-7", "9223372036854775807", "-9223372036854775808", "1.0", "1.5",
        "-2.25e-3", "1E2", "1e+2", "1e30", "5e-324", "0.1", "123456789012345678", "\"\"", "\"plain\"",
        #""\"\\\/\b\f\n\r\t""#, #""é\u00e9 \ud83d\ude00 😀\u0000""#, "[]", "[ ]", "[1,[2,[3]],{}]", "{}", "{ }",
        #"{"a":1,"b":{"c":[null,true,"x"]},"":0}"#, "\t{\r\n \"k\" : [ 1 , 2 ] }  ", #"{"ключ":"значение"}"#,
    ])
    func readsWhatTheGeneralDecoderReads(_ text: String) throws {
        let general = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        #expect(try JSONValue(json: Array(text.utf8)) == general)
    }

    @Test func keepsIntegersExactAndMakesDoublesOfTheRest() throws {
        #expect(try parse("9223372036854775807") == .int(.max))
        #expect(try parse("-9223372036854775808") == .int(.min))
        #expect(try parse("9223372036854775808") == .double(9_223_372_036_854_775_808))
        #expect(try parse("-9223372036854775809") == .double(-9_223_372_036_854_775_808))
        #expect(try parse("123456789012345678901234567890") == .double(1.2345678901234568e29))
        #expect(try parse("1e2") == .int(100))
        #expect(try parse("1e16") == .double(1e16))
    }

    @Test func numbersThatNoDoubleHoldsAreRefused() {
        #expect(throws: JSONFault.self) { try parse("1e400") }
        #expect(throws: JSONFault.self) { try parse("[1, -1e400]") }
    }

    @Test func aFaultNamesItsByte() {
        #expect { try parse("[1 2]") } throws: { "\($0)".hasPrefix("byte 4: ") }
    }

    @Test func boundsTheDepth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try parse(nested(JSONValue.maximumDepth))
        #expect(throws: JSONFault.self) { try parse(nested(JSONValue.maximumDepth + 1)) }
        #expect(throws: JSONFault.self) { try parse(nested(1_000_000)) }
    }

    /// Whatever bytes come: an answer or an error, as by the general decoder, and never a crash.
    @Test func anyCutAndAnyChangeOfADocumentIsReadOrRefused() throws {
        let text = #"{"a":[1,-2.5e3,true,null,"x\u00e9\n"],"b":{"c":"é"},"d":123456789}"#
        var bytes = Array(text.utf8)
        for end in 0..<bytes.count {
            #expect(throws: JSONFault.self) { try JSONValue(json: Array(bytes[..<end])) }
        }
        for index in bytes.indices {
            let original = bytes[index]
            for byte in [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "}"), UInt8(ascii: "0"), 0, 0xFF] {
                bytes[index] = byte
                guard let value = try? JSONValue(json: bytes) else { continue }
                let general = try JSONDecoder().decode(JSONValue.self, from: Data(bytes))
                #expect(value == general, "byte \(index) as \(byte)")
            }
            bytes[index] = original
        }
    }

    // MARK: Decoding

    private struct Sample: Decodable, Equatable {
        enum Colour: String, Decodable { case red, green }

        struct Point: Decodable, Equatable {
            var x: Double
            var y: Float
        }

        var flag: Bool
        var count: UInt8
        var big: UInt64
        var colour: Colour
        var points: [Point]
        var names: [String: Int]
        var note: String?
        var raw: JSONValue
    }

    private static let sample =
        #"{"flag":true,"count":200,"big":18000000000000000000,"colour":"green","points":[{"x":1,"y":0.5}],"#
        + #""names":{"a":1},"note":null,"raw":[1,{"k":"v"}]}"#

    @Test func decodesAsTheGeneralDecoderDoes() throws {
        let general = try JSONDecoder().decode(Sample.self, from: Data(Self.sample.utf8))
        #expect(try parse(Self.sample).decoded(as: Sample.self) == general)
    }

    @Test(arguments: [
        (#""flag":true"#, #""flag":1"#, "flag"), (#""count":200"#, #""count":256"#, "count"),
        (#""count":200"#, #""count":-1"#, "count"), (#""count":200"#, #""count":1.5"#, "count"),
        (#""colour":"green""#, #""colour":"blue""#, "colour"), (#""x":1"#, #""x":"1""#, "points.Index 0.x"),
        (#""x":1"#, #""x":null"#, "points.Index 0.x"), (#""names":{"a":1}"#, #""names":{"a":"b"}"#, "names.a"),
        (#"[{"x":1,"y":0.5}]"#, #"{"x":1}"#, "points"), (#""x":1,"#, "", "points.Index 0"),
    ])
    func anErrorHasThePathToThePlace(_ old: String, new: String, path: String) throws {
        let value = try parse(Self.sample.replacing(old, with: new))
        let error = try #require(throws: DecodingError.self) { try value.decoded(as: Sample.self) }
        let context =
            switch error {
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
                .dataCorrupted(let context):
                context
            @unknown default: throw error
            }
        #expect(context.codingPath.map(\.stringValue).joined(separator: ".") == path)
    }

    @discardableResult
    private func parse(_ text: String) throws -> JSONValue { try JSONValue(json: Array(text.utf8)) }
}
