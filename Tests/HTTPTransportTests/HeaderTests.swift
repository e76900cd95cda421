import Testing

@testable import HTTPTransport

@Suite struct HeaderTests {
    private func parse(_ lines: [String], bytes: Int = 1000, count: Int = 10) -> (HeadParser, HeadParser.Step) {
        var parser = HeadParser()
        var step = HeadParser.Step.more
        for line in lines where step == .more {
            step = Array((line + "\r\n").utf8).withUnsafeBytes {
                parser.consume($0, maximumBytes: bytes, maximumCount: count)
            }
        }
        return (parser, step)
    }

    @Test func theFinalHeadIsTheOneThatCounts() {
        let (parser, step) = parse([
            "HTTP/1.1 100 Continue", "X: no", "", "HTTP/1.1 204 No Content", "A:1", "b:  2 \t", "",
        ])
        #expect(step == .complete)
        #expect(parser.status == 204)
        #expect(parser.fields == [HTTPHeader("A", "1"), HTTPHeader("b", "2")])
        #expect(HTTPHeaders(parser.fields)["B"] == "2")
    }

    @Test func linesAreBoundedInSizeAndNumber() {
        #expect(parse(["HTTP/2 200", "A: " + String(repeating: "x", count: 1000)]).1 == .tooLarge)
        #expect(parse(["HTTP/2 200"] + (0...10).map { "A\($0): 1" }).1 == .tooLarge)
        #expect(parse(["HTTP/2 200"] + (0..<10).map { "A\($0): 1" } + [""]).1 == .complete)
    }

    @Test func foldedLinesContinueAValue() {
        #expect(parse(["HTTP/1.1 200 OK", "A: 1", "  2", ""]).0.fields == [HTTPHeader("A", "1 2")])
    }

    @Test func lookUpIgnoresASCIICaseOnly() {
        let headers = HTTPHeaders([HTTPHeader("X-Key", "1"), HTTPHeader("x-key", "2")])
        #expect(headers["X-KEY"] == "1")
        #expect(headers.values("x-Key") == ["1", "2"])
        #expect(headers["X-\u{212A}ey"] == nil)
    }
}
