import Testing

@testable import ObjectStorage

@Suite struct Base64Tests {
    /// RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func encodesAsPublished(_ text: String, _ encoded: String) {
        #expect(Base64.encode(text.utf8) == encoded)
    }

    @Test func readsDates() {
        #expect(HTTPDate.secondsSince1970("Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777)
        #expect(HTTPDate.secondsSince1970("yesterday") == nil)
        #expect(SigningTime(secondsSince1970: 784_111_777).timestamp == "19941106T084937Z")
    }
}
