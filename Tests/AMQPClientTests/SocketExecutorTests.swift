import Glibc
import SocketExecutor
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(4))) struct SocketExecutorTests {
    /// An actor on the executor, as the clients have one.
    private actor Counter {
        let executor = SocketExecutor(name: "test")
        nonisolated let signals = Atomic<Int>(0)
        private var value = 0
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

        func prepare() {
            executor.onSignal { [signals = SignalBox(self)] in signals.count() }
        }

        func increment() -> Int {
            value += 1
            return value
        }

        func stop() { executor.stop() }
    }

    private final class SignalBox {
        unowned let counter: Counter
        init(_ counter: Counter) { self.counter = counter }
        func count() { counter.signals.add(1, ordering: .relaxed) }
    }

    @Test func jobsFromManyTasksAreSerialised() async {
        let counter = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<64 {
                group.addTask { for _ in 0..<200 { _ = await counter.increment() } }
            }
        }
        #expect(await counter.increment() == 64 * 200 + 1)
        await counter.stop()
        // An actor that outlives its thread stays usable.
        #expect(await counter.increment() == 64 * 200 + 2)
    }

    @Test func everySignalIsSeen() async {
        let counter = Counter()
        await counter.prepare()
        for _ in 0..<500 {
            let before = counter.signals.load(ordering: .relaxed)
            counter.executor.signal()
            while counter.signals.load(ordering: .relaxed) == before { await Task.yield() }
        }
        await counter.stop()
    }
}
