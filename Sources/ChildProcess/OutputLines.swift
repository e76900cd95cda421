/// The lines a child writes to a pipe, in order, as they come.
///
/// One consumer: a second iterator shares the lines with the first. At most a few hundred lines wait
/// here; when the consumer is slower than the child, the pipe fills and the child waits. The sequence
/// ends when every holder of the pipe's other end is gone, or shortly after the child itself is.
/// A cancelled consumer gets nil; the child then keeps running and its further output is discarded.
package struct OutputLines: AsyncSequence, Sendable {
    package typealias Element = OutputLine
    package typealias Failure = Never

    let reader: PipeReader

    package struct AsyncIterator: AsyncIteratorProtocol {
        let reader: PipeReader

        package mutating func next() async -> OutputLine? {
            await reader.next()
        }

        package mutating func next(isolation actor: isolated (any Actor)?) async -> OutputLine? {
            await reader.next()
        }
    }

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(reader: reader)
    }
}
