import Testing

@testable import IngestStage

@Suite struct PatternTests {
    private func matches(_ pattern: String, _ text: String) throws -> Bool {
        try LinearPattern(pattern, path: "p").matches(text)
    }

    @Test(arguments: [
        ("CWE-[1-9][0-9]*", "CWE-79", "CWE-079"), ("^\\d{4}-\\d{2}-\\d{2}$", "2024-01-31", "2024-1-31"),
        ("(a|bc)*d?", "abcbcad", "abcb"), ("[^,\\s]+", "héllo", "a b"), ("(?i)straße|x", "STRAßE", "y"),
        ("a{2,}", "aaaa", "a"), ("a{0,2}", "", "aaa"), ("\\$\\{\\w+\\}", "${näme_1}", "${}"),
        ("[]a-]+", "]-a", "b"), ("(?:ab|a)(?:c|bc)", "abc", "ab"), (".*?x", "abx", "ab\nx"), ("", "", "a"),
        ("(a*)*b", "aab", "aac"), ("[\\d.]+", "1.2.3", "1,2"), ("price \\$", "price $", "price"),
    ])
    func wholeTextsMatch(_ pattern: String, _ good: String, _ bad: String) throws {
        #expect(try matches(pattern, good))
        #expect(try !matches(pattern, bad))
    }

    @Test(arguments: [
        "(", ")", "a)", "[a", "*a", "a**", "a{2", "a{2,1}", "a{x}", "[z-a]", "\\", "\\1", "(?=a)", "(?<n>a)", "a^b",
        "\\bword\\b", "a{3000}", "((((a{9}){9}){9}){9})", "(){99999999999}", "[\\d-z]x[",
    ])
    func whatCannotBeMatchedInTimeIsRefused(_ pattern: String) {
        #expect { try LinearPattern(pattern, path: "schema.fields.id.pattern") } throws: { error in
            let fault = error as? IngestError
            return fault?.code == .invalidParameters && fault?.message.contains("schema.fields.id.pattern") == true
        }
    }

    /// Each of these takes a backtracking engine longer than the universe has.
    @Test(
        .timeLimit(.minutes(4)),
        arguments: ["(a+)+b", "(a|aa)*b", "a*a*a*a*a*a*a*a*a*a*a*a*b", "(a|a|a)*b", "(.*a){20}b"])
    func hostilePatternsTakeLinearTime(_ pattern: String) throws {
        #expect(try !matches(pattern, String(repeating: "a", count: 4_000)))
    }
}
