import Testing

@testable import ChildProcess

@Suite struct LineSplitterTests {
    private func texts(_ chunks: [String], limit: Int = 100) -> [String] {
        var splitter = LineSplitter(limit: limit)
        var lines = chunks.flatMap { splitter.append(Array($0.utf8)) }
        if let last = splitter.finish() { lines.append(last) }
        return lines.map { $0.isTruncated ? $0.text + "…" : $0.text }
    }

    @Test func joinsLinesAcrossReads() {
        #expect(texts(["a", "b\nc", "\n", "\nd"]) == ["ab", "c", "", "d"])
    }

    @Test func dropsCarriageReturnBeforeTheEndOnly() {
        #expect(texts(["a\r", "\nb\rc\n"]) == ["a", "b\rc"])
    }

    @Test func cutsLongLinesAndRecovers() {
        #expect(texts(["abcd", "efgh", "ij\nkl\n"], limit: 5) == ["abcde…", "kl"])
        #expect(texts(["abcde\nf"], limit: 5) == ["abcde", "f"])
    }

    @Test func repairsBytesThatAreNotUTF8() {
        var splitter = LineSplitter(limit: 10)
        #expect(splitter.append([0x61, 0xff, 0x62, 0x0a]).map(\.text) == ["a\u{FFFD}b"])
    }
}
