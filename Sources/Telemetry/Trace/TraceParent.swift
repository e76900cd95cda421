/// The parsed `traceparent` header (W3C Trace Context §3.2).
struct TraceParent {
    let traceID: TraceID
    let spanID: SpanID
    let isSampled: Bool

    /// Nil when the header is malformed, or of the forbidden version ff.
    ///
    /// A version after 00 is read by the rules of version 00, with anything after a further dash ignored (§3.2.4).
    init?(_ header: String) {
        let bytes = Array(header.utf8)
        let dash = UInt8(ascii: "-")
        guard (55...512).contains(bytes.count), bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
            let version = Hex.parse(bytes[0..<2]), version != 0xff,
            let flags = Hex.parse(bytes[53..<55]),
            let traceID = TraceID(String(decoding: bytes[3..<35], as: UTF8.self)),
            let spanID = SpanID(String(decoding: bytes[36..<52], as: UTF8.self))
        else { return nil }
        guard bytes.count == 55 || (version > 0 && bytes[55] == dash) else { return nil }
        self.traceID = traceID
        self.spanID = spanID
        // Bits other than "sampled" have no meaning in version 00 and are not passed on (§3.2.2.5).
        isSampled = flags & 1 == 1
    }
}
