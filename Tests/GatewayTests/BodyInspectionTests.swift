import NIOCore
import Testing

@testable import Gateway

@Suite struct BodyInspectionTests {
    private static func read(_ text: String) throws -> BodyInspection {
        try Array(text.utf8).withUnsafeBytes { try BodyInspection($0) }
    }

    @Test func readsWhatRoutesAndWeighs() throws {
        let text =
            #"{"model": "security-qa@champion", "messages": [{"role":"user","content":"What is CWE-89?"}], "#
            + #""stream": true, "n": 2, "max_tokens": 50, "max_completion_tokens": 60, "temperature": 0.0, "user": "u"}"#
        let body = try Self.read(text)
        #expect(body.model == "security-qa@champion" && body.isStream && !body.includesUsage)
        #expect(body.answers == 2 && body.maximumTokens == 60 && body.isGreedy && body.session == "u")
        let bytes = Array(text.utf8)
        #expect(String(decoding: bytes[body.modelPlace], as: UTF8.self) == #""security-qa@champion""#)
        #expect(
            String(decoding: bytes[body.prompt], as: UTF8.self) == #"[{"role":"user","content":"What is CWE-89?"}]"#)
        #expect(body.prompts == 1 && body.promptTokens == nil && body.estimatedPromptTokens == 45 / 4 + 1)
    }

    @Test(arguments: [
        ("0", true), ("0.0", true), ("-0", true), ("0.00e7", true), ("0E-1", true), ("0.7", false), ("10", false),
        ("0.01", false), ("1e0", false), ("null", false), ("false", false), (#""0""#, false), ("[0]", false),
    ])
    func whatIsGreedy(_ temperature: String, isGreedy: Bool) throws {
        #expect(try Self.read(#"{"model":"m","temperature":\#(temperature)}"#).isGreedy == isGreedy)
    }

    @Test(arguments: [("0", 0), ("-0", 0), ("7", 7), ("10000000", 10_000_000)])
    func wholeNumbers(_ number: String, value: Int) throws {
        #expect(try Self.read(#"{"model":"m","max_tokens":\#(number)}"#).maximumTokens == value)
    }

    @Test(arguments: [
        (#""a""#, 1, nil as Int?), (#"["a", "b", "c"]"#, 3, nil), ("[1, 2, 3]", 1, 3), ("[[1, 2], [3]]", 2, 3),
        ("[]", 1, nil),
        ("null", 1, nil),
    ])
    func prompts(_ prompt: String, count: Int, tokens: Int?) throws {
        let body = try Self.read(#"{"prompt":\#(prompt),"model":"m"}"#)
        #expect(body.prompts == count && body.promptTokens == tokens)
    }

    @Test(arguments: [
        ("", nil as String?, "ends too early"), ("[]", nil, "{"), (#"{"model":"m"}x"#, nil, "follows the end"),
        (#"{"prompt":"x"}"#, "model", "missing"), (#"{"model":7}"#, "model", "must be a string"),
        (#"{"model":"a","model":"b"}"#, "model", "comes twice"),
        (#"{"model":"a","mod\u0065l":"b"}"#, "model", "comes twice"),
        (#"{"model":"m","stream":"yes"}"#, "stream", "true or false"),
        (#"{"model":"m","max_tokens":-1}"#, "max_tokens", "whole number"),
        (#"{"model":"m","max_tokens":10000001}"#, "max_tokens", "whole number"),
        (#"{"model":"m","max_tokens":18446744073709551617}"#, "max_tokens", "whole number"),
        (#"{"model":"m","max_tokens":"5"}"#, "max_tokens", "whole number"),
        (#"{"model":"m","n":129}"#, "n", "whole number"),
        (#"{"model":"m","n":1.5}"#, "n", "whole number"), (#"{"model":"m","n":1e99}"#, "n", "whole number"),
        (
            #"{"model":"m","stream_options":{"include_usage":true,"include_usage":false}}"#,
            "stream_options.include_usage",
            "comes twice"
        ),
        ("{\"model\":\"m\u{1}\"}", nil, "control character"), (#"{"model":"m",}"#, nil, "in quotes"),
    ])
    func refuses(_ text: String, parameter: String?, message: String) {
        do {
            let body = try Self.read(text)
            Issue.record("read as \(body)")
        } catch let fault as BodyFault {
            #expect(fault.parameter == parameter && fault.message.contains(message), "\(fault)")
        } catch {
            Issue.record(error)
        }
    }

    @Test func illFormedTextIsNamedByItsPlace() {
        let bytes = Array(#"{"model":"m","prompt":"abc"#.utf8) + [0xff] + Array(#""}"#.utf8)
        #expect {
            _ = try bytes.withUnsafeBytes { try BodyInspection($0) }
        } throws: { error in
            let message = (error as? BodyFault)?.message ?? ""
            return message.contains("byte 27") && message.contains("UTF-8")
        }
    }

    /// The body as the replica gets it.
    private static func sent(_ text: String, servedName: String = "m:7") throws -> String {
        let inspection = try read(text)
        let configuration = ReplicaConfiguration(
            model: "m", version: "7", host: "10.0.0.1", port: 8_000, servedName: servedName, credential: "up")
        let request = ClientRequest(
            endpoint: .chatCompletions, inspection: inspection, body: ByteBuffer(string: text),
            fields: ByteBuffer(string: "x-request-id: r\r\n"), requestID: ByteBuffer(string: "r"), isOldVersion: false,
            keepsAlive: true, deployment: ModelTable.Deployment(id: 0, model: "m", version: "7"), arm: nil,
            fallback: nil, key: nil,
            reservation: nil, price: PriceTable.Price(prompt: 0, cached: 0, completion: 0),
            joint: nil, received: .now())
        let bytes = request.encoded(for: Replica(configuration, id: 0), ByteBufferAllocator())
        let parts = String(buffer: bytes).split(separator: "\r\n\r\n", maxSplits: 1)
        let body = String(parts[1])
        #expect(
            parts[0] == """
                POST /v1/chat/completions HTTP/1.1\r\nhost: 10.0.0.1:8000\r\nauthorization: Bearer up\r
                x-request-id: r\r\ncontent-length: \(body.utf8.count)
                """)
        return body
    }

    @Test(arguments: [
        (#"{"model":"m","a":1}"#, #"{"model":"m:7","a":1}"#),
        (#" {"a":"é","model" : "m" } "#, #" {"a":"é","model" : "m:7" } "#),
        (#"{"model":"m","stream":true}"#, #"{"stream_options":{"include_usage":true},"model":"m:7","stream":true}"#),
        (
            #"{"stream":true,"stream_options":null,"model":"m"}"#,
            #"{"stream":true,"stream_options":{"include_usage":true},"model":"m:7"}"#
        ),
        (
            #"{"stream":true,"model":"m","stream_options":{}}"#,
            #"{"stream":true,"model":"m:7","stream_options":{"include_usage":true}}"#
        ),
        (
            #"{"stream":true,"model":"m","stream_options":{"x":1}}"#,
            #"{"stream":true,"model":"m:7","stream_options":{"include_usage":true,"x":1}}"#
        ),
        (
            #"{"stream":true,"stream_options":{"include_usage":false},"model":"m"}"#,
            #"{"stream":true,"stream_options":{"include_usage":true},"model":"m:7"}"#
        ),
        (
            #"{"stream":true,"stream_options":{"include_usage":true},"model":"m"}"#,
            #"{"stream":true,"stream_options":{"include_usage":true},"model":"m:7"}"#
        ),
    ])
    func whatIsSentOnIsChangedOnlyWhereItMust(_ text: String, expected: String) throws {
        #expect(try Self.sent(text) == expected)
    }

    @Test func aServedNameIsAString() throws {
        #expect(try Self.sent(#"{"model":"m"}"#, servedName: "a\"b\\\u{1}") == #"{"model":"a\"b\\\u0001"}"#)
    }
}
