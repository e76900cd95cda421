import Testing

@testable import martlet

@Suite struct LogTextTests {
    private func line(_ number: Int) -> String { "2026-03-01T12:00:0\(number).000Z line \(number)" }

    @Test func liveLinesGoOnWhereTheStoredOnesEnd() {
        let stored = (1...3).map { line($0) + "\n" }.joined()
        func after(_ live: [Int]) -> [String] { Array(LogText.continuation(of: stored, in: live.map(line))) }
        #expect(after([1, 2, 3, 4, 5]) == [line(4), line(5)])
        // Redis keeps the newest only.
        #expect(after([3, 4]) == [line(4)] && after([5]) == [line(5)] && after([1, 2]).isEmpty && after([]).isEmpty)
        #expect(Array(LogText.continuation(of: "", in: [line(1)])) == [line(1)])
    }

    @Test func controlsAreSpelled() {
        #expect("a\u{1B}[31m\u{9B}b\r\tc\n".escapingControls == "a\\u{1b}[31m\\u{9b}b\\u{d}\tc\n")
    }
}
