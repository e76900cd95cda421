import Testing

@testable import AMQPClient

@Suite struct ConfirmWindowTests {
    private func window(_ count: Int) -> ConfirmWindow<Int> {
        var window = ConfirmWindow<Int>()
        for number in 1...count { window.append(number) }
        return window
    }

    @Test func tagsCountFromOneAndSettleInAnyOrder() {
        var window = window(5)
        #expect(window.settle(3, multiple: false) == [3])
        #expect(window.settle(4, multiple: true) == [1, 2, 4])
        #expect(window.count == 1)
        #expect(window.nextTag == 6)
        #expect(window.settle(5, multiple: false) == [5])
        #expect(window.isEmpty)
    }

    @Test func tagsThatAreNotOutstandingSettleNothing() {
        var window = window(2)
        #expect(window.settle(7, multiple: false).isEmpty)
        #expect(window.settle(1, multiple: false) == [1])
        #expect(window.settle(1, multiple: false).isEmpty)
        #expect(window.settle(1, multiple: true).isEmpty)
        #expect(window.settle(.max - 1, multiple: true) == [2])
    }

    @Test func tagZeroWithMultipleMeansAll() {
        var window = window(3)
        #expect(window.settle(0, multiple: true) == [1, 2, 3])
    }

    @Test func aLongRunKeepsCounting() {
        var window = ConfirmWindow<Int>()
        for number in 1...10_000 {
            window.append(number)
            if number > 100 { #expect(window.settle(UInt64(number - 100), multiple: false) == [number - 100]) }
        }
        #expect(window.count == 100)
        #expect(window.reset() == Array(9_901...10_000))
        #expect(window.nextTag == 1)
    }
}
