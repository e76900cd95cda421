import Testing

@testable import ObjectStorage

@Suite struct S3URITests {
    @Test(arguments: [
        ("a b", "a%20b"), ("a+b", "a%2Bb"), ("a%2Fb", "a%252Fb"), ("ü/é", "%C3%BC/%C3%A9"), ("..//x", "..//x"),
        ("~-._", "~-._"), ("a?b#c&d=e", "a%3Fb%23c%26d%3De"), ("\u{1F426}", "%F0%9F%90%A6"),
        ("'()*!", "%27%28%29%2A%21"),
        ("a\nb", "a%0Ab"),
    ])
    func encodesKeys(_ key: String, _ encoded: String) {
        #expect(S3URI.encode(key, keepingSlashes: true) == encoded)
        #expect(S3URI.decodeListed(encoded) == key)
    }

    @Test func keepsSpellingsApart() {
        // The same character composed and decomposed: two keys, which Swift's == would take for one.
        let composed = S3URI.encode("\u{E9}", keepingSlashes: true)
        let decomposed = S3URI.encode("e\u{301}", keepingSlashes: true)
        #expect(composed == "%C3%A9")
        #expect(decomposed == "e%CC%81")
    }

    @Test func sortsTheQueryByEncodedBytes() {
        let query = [(name: "b", value: "2"), ("a", "z"), ("a", "+"), ("B", ""), ("a-", "1"), ("é", "")]
        #expect(S3URI.canonicalQuery(query) == "%C3%A9=&B=&a=%2B&a=z&a-=1&b=2")
    }

    @Test(arguments: ["%", "%4", "%zz", "abc%2"])
    func refusesBrokenEncoding(_ text: String) {
        #expect(S3URI.decodeListed(text) == nil)
    }
}
