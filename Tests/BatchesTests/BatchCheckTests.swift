import Pipeline
import Testing

@testable import Batches

/// What a batch's file must be, and how it is divided.
@Suite struct BatchCheckTests {
    private static func line(
        _ id: String, method: String = "POST", url: String = "/v1/completions", body: String = #"{"model":"m"}"#
    ) -> String {
        #"{"custom_id":"\#(id)","method":"\#(method)","url":"\#(url)","body":\#(body)}"#
    }

    private static func check(_ text: String, size: Int = 7, lines: Int = 3, bytes: Int = 4_096) -> BatchCheck {
        var configuration = BatchConfiguration()
        configuration.partLines = lines
        configuration.partBytes = bytes
        configuration.lineBytes = 1_000
        var check = BatchCheck(endpoint: "/v1/completions", configuration: configuration)
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            check.feed(Array(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        check.finish()
        return check
    }

    @Test(arguments: [1, 13, 100_000]) func partsCoverEveryLine(size: Int) {
        let lines = (0..<8).map { Self.line("é\($0)") }
        // A blank line, a Windows line end, and no end after the last line.
        let text = lines[0] + "\n\n" + lines[1] + "\r\n" + lines[2...].joined(separator: "\n")
        let check = Self.check(text, size: size)
        #expect(check.faults.isEmpty && check.count == 8)
        #expect(check.parts.map(\.lines) == [3, 3, 2])
        #expect(check.parts.map(\.firstLine) == [1, 5, 8])
        let bytes = Array(text.utf8)
        for part in check.parts {
            let own = bytes[Int(part.offset)..<Int(part.offset + part.bytes)]
            #expect(own.first == UInt8(ascii: "{") && (own.last == UInt8(ascii: "}") || own.last == 0x0D))
        }
    }

    @Test func aPartHasItsBytesOrOneLine() {
        let long = Self.line("long", body: #"{"model":"\#(String(repeating: "x", count: 300))"}"#)
        let check = Self.check(
            [Self.line("a"), long, Self.line("b"), Self.line("c")].joined(separator: "\n"), bytes: 200)
        #expect(check.parts.map(\.lines) == [1, 1, 2])
    }

    @Test(
        arguments: [
            ("{", "invalid_json_line", nil), ("[]", "invalid_json_line", nil),
            (Self.line("a") + "x", "invalid_json_line", nil), (#"{"custom_id":5}"#, "invalid_custom_id", "custom_id"),
            (Self.line(""), "invalid_custom_id", "custom_id"),
            (Self.line("a", method: "GET"), "invalid_method", "method"),
            (Self.line("a", url: "/v1/embeddings"), "invalid_url", "url"),
            (Self.line("a", body: "5"), "invalid_body", "body"),
            (Self.line("a", body: "{}"), "invalid_body", "body"),
            (Self.line("a", body: #"{"model":"m","stream":true}"#), "invalid_body", "body.stream"),
            (#"{"custom_id":"a","custom_id":"b"}"#, "duplicate_member", "custom_id"),
            (String(repeating: "x", count: 1_200), "line_too_long", nil),
        ] as [(String, String, String?)]) func everyFaultNamesItsLine(text: String, code: String, parameter: String?)
    {
        let check = Self.check(Self.line("first") + "\n" + text)
        #expect(check.faults.map(\.code) == [code])
        #expect(check.faults.first?.line == 2)
        #expect(check.faults.first?.parameter == parameter)
    }

    @Test func namesMayNotComeTwice() {
        // Written differently, and the same all the same.
        let check = Self.check(Self.line("ab") + "\n" + Self.line(#"a\u0062"#))
        #expect(check.faults.map(\.code) == ["duplicate_custom_id"])
    }

    @Test func thereIsSomethingToAsk() {
        #expect(Self.check(" \n\n").faults.map(\.code) == ["empty_file"])
    }

    @Test func faultsAreBounded() {
        let check = Self.check(String(repeating: "x\n", count: 1_000))
        #expect(check.faults.count == 100 && check.isHopeless)
    }
}
