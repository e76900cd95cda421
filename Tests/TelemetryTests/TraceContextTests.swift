import Testing

@testable import Telemetry

/// The cases of the W3C's own trace-context test harness, and the rules behind them.
@Suite struct TraceContextTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let span = "00f067aa0ba902b7"
    private static let valid = "00-\(trace)-\(span)-01"

    @Test func roundTrip() throws {
        let context = try #require(
            TraceContext(traceparent: Self.valid, tracestate: "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"))
        #expect(context.traceID.description == Self.trace && context.spanID.description == Self.span)
        #expect(context.isSampled)
        #expect(context.traceparent == Self.valid)
        #expect(context.tracestate == "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    }

    @Test func childKeepsTraceFlagsAndState() throws {
        let context = try #require(TraceContext(traceparent: "00-\(Self.trace)-\(Self.span)-00", tracestate: "a=1"))
        let child = context.child()
        #expect(child.traceID == context.traceID && child.spanID != context.spanID)
        #expect(!child.isSampled && child.tracestate == "a=1")
    }

    @Test func rootsDifferAndParse() throws {
        let roots = (0..<1_000).map { _ in TraceContext.root() }
        #expect(Set(roots.map(\.traceID)).count == 1_000 && Set(roots.map(\.spanID)).count == 1_000)
        #expect(roots.allSatisfy { TraceContext(traceparent: $0.traceparent) == $0 })
    }

    @Test(arguments: [
        "", "00", "00-", "00-\(trace)-\(span)", "00-\(trace)-\(span)-", "00-\(trace)-\(span)-1",
        "00-\(trace)-\(span)-001", "00-\(trace)-\(span)-.0", "00-\(trace)-\(span)-0.", "00-\(trace)-\(span)-0G",
        "00-\(trace)-\(span)-01-", "00-\(trace)-\(span)-01-what-the-future-will-be-like",
        "ff-\(trace)-\(span)-01", ".0-\(trace)-\(span)-01", "0G-\(trace)-\(span)-01", "FF-\(trace)-\(span)-01",
        "00-00000000000000000000000000000000-\(span)-01", "00-\(trace)-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-\(span)-01", "00-\(trace)-00F067AA0BA902B7-01",
        "00-.\(trace.dropFirst())-\(span)-01", "00-\(trace)-.\(span.dropFirst())-01",
        "00-\(trace)1-\(span)-01", "00-\(trace.dropLast())-\(span)-01", "00-\(trace)-\(span)1-01",
        "00_\(trace)_\(span)_01", " \(valid)", "\(valid) ", "cc-\(trace)-\(span)-01.what-the-future-will-be-like",
    ])
    func malformedParentStartsANewTrace(header: String) {
        #expect(TraceContext(traceparent: header) == nil)
        let context = TraceContext.received(traceparent: header, tracestate: "a=1")
        #expect(context.traceID.description != Self.trace && context.tracestate == nil)
    }

    @Test(arguments: [
        "cc-\(trace)-\(span)-01", "cc-\(trace)-\(span)-01-what-the-future-will-be-like", "01-\(trace)-\(span)-09",
        "00-\(trace)-\(span)-ff",
    ])
    func laterVersionsAndUnknownFlagsAreRead(header: String) throws {
        let context = try #require(TraceContext(traceparent: header))
        #expect(context.traceparent == Self.valid)
    }

    @Test func missingParentStartsANewTrace() {
        #expect(TraceContext.received(traceparent: nil, tracestate: "a=1").tracestate == nil)
    }

    @Test(arguments: [
        ("foo=1 \t , \t bar=2", "foo=1,bar=2"), ("foo=1,", "foo=1"), (",foo=1,,bar=2", "foo=1,bar=2"),
        ("foo=a b", "foo=a b"), ("foo@bar=1,bar@foo=2", "foo@bar=1,bar@foo=2"), ("0tenant@sys=1", "0tenant@sys=1"),
        ("abcdefghijklmnopqrstuvwxyz0123456789_-*/=1", "abcdefghijklmnopqrstuvwxyz0123456789_-*/=1"),
        ("foo= 1", "foo= 1"),
    ])
    func stateIsRead(header: String, kept: String) throws {
        let state = try #require(TraceState(header))
        #expect(state.description == kept)
    }

    @Test(arguments: [
        "foo", "foo=", "=1", "foo=1=2", "FOO=1", "foo=1,foo=2", "foo@=1", "@foo=1", "foo@@bar=1", "foo@bar@baz=1",
        "foo@0bar=1", "0foo=1", "foo =1", "foo=é", "foo=\u{7F}", "\(String(repeating: "z", count: 257))=1",
        "\(String(repeating: "t", count: 242))@v=1", "t@\(String(repeating: "v", count: 15))=1",
        "foo=\(String(repeating: "v", count: 257))", (0..<33).map { "k\($0)=1" }.joined(separator: ","),
    ])
    func malformedStateIsDroppedAlone(header: String) throws {
        #expect(TraceState(header) == nil)
        let context = try #require(TraceContext(traceparent: Self.valid, tracestate: header))
        #expect(context.traceparent == Self.valid && context.tracestate == nil)
    }

    @Test func longStateLosesItsLongEntriesFirst() throws {
        let long = "long=\(String(repeating: "v", count: 200))"
        let header = ([long] + (0..<30).map { "key\($0)=\(String(repeating: "v", count: 28))" }).joined(separator: ",")
        let state = try #require(TraceState(header))
        #expect(!state.description.contains("long=") && state.description.hasPrefix("key0="))
        #expect(state.description.utf8.count <= TraceState.sizeLimit && state.description.utf8.count >= 512)
        let full = try #require(TraceState((0..<32).map { "k\($0)=1" }.joined(separator: ",")))
        #expect(full.members.count == 32)
    }
}
