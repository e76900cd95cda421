package import NIOCore
import NIOPosix

/// One end of a TCP connection whose every byte a test sees and sends.
package actor WirePeer {
    private let channel: any Channel
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var received = ByteBuffer()
    private var isAtEnd = false
    private let iterator: AsyncThrowingStream<ByteBuffer, any Error>.AsyncIterator
    private let reading: Task<Void, Never>
    private let flow: Flow

    /// Lets a reader stop taking bytes.
    private actor Flow {
        private var isOpen = true
        private var waiters: [CheckedContinuation<Void, Never>] = []

        func set(_ isOpen: Bool) {
            self.isOpen = isOpen
            guard isOpen else { return }
            for waiter in waiters { waiter.resume() }
            waiters = []
        }

        func pass() async {
            guard !isOpen else { return }
            await withCheckedContinuation { waiters.append($0) }
        }
    }

    package struct Ended: Error {
        package let received: String
    }

    private init(
        _ channel: any Channel, inbound: NIOAsyncChannelInboundStream<ByteBuffer>,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, flow: Flow
    ) {
        self.channel = channel
        self.outbound = outbound
        self.flow = flow
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: ByteBuffer.self)
        iterator = stream.makeAsyncIterator()
        // Unstructured: it reads for as long as the connection is, so that its end is seen while nobody asks.
        reading = Task {
            do {
                await flow.pass()
                for try await buffer in inbound {
                    continuation.yield(buffer)
                    await flow.pass()
                }
                continuation.finish()
            } catch {
                continuation.finish()
            }
        }
    }

    /// Connects, calls `body` and closes.
    package static func connect<Result: Sendable>(
        port: Int, isReading: Bool = true, receiveBuffer: Int? = nil,
        _ body: @escaping @Sendable (WirePeer) async throws -> Result
    ) async throws -> Result {
        var bootstrap = ClientBootstrap(group: NIOSingletons.posixEventLoopGroup)
        if let receiveBuffer {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(receiveBuffer))
        }
        let channel = try await bootstrap.connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                    wrappingChannelSynchronously: channel,
                    configuration: .init(
                        backPressureStrategy: .init(lowWatermark: 1, highWatermark: 2),
                        isOutboundHalfClosureEnabled: true))
            }
        }
        return try await serve(channel, isReading: isReading, body)
    }

    static func serve<Result: Sendable>(
        _ channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>, isReading: Bool = true,
        _ body: @escaping @Sendable (WirePeer) async throws -> Result
    ) async throws -> Result {
        try await channel.executeThenClose { inbound, outbound in
            let flow = Flow()
            await flow.set(isReading)
            let peer = WirePeer(
                channel.channel, inbound: inbound, outbound: outbound, flow: flow)
            do {
                let result = try await body(peer)
                await peer.stop()
                return result
            } catch {
                await peer.stop()
                throw error
            }
        }
    }

    private func stop() async {
        await flow.set(true)
        reading.cancel()
    }

    /// One who stops takes at most what is on its way to it.
    package func setReading(_ isReading: Bool) async { await flow.set(isReading) }

    /// Takes so many bytes, and stops reading.
    package func readSlowly(count: Int) async throws -> ByteBuffer {
        await flow.set(true)
        let bytes = try await read(count: count)
        await flow.set(false)
        return bytes
    }

    package func send(_ text: String) async throws {
        try await outbound.write(ByteBuffer(string: text))
    }

    package func send(_ buffer: ByteBuffer) async throws {
        try await outbound.write(buffer)
    }

    /// Sends, and returns when the kernel has taken it all.
    package func sendThrough(_ text: String) async throws {
        try await channel.writeAndFlush(ByteBuffer(string: text)).get()
    }

    /// Ends the connection at once, as a process that dies does.
    package func close() async {
        try? await channel.close().get()
    }

    /// Takes what comes until it ends with, or holds, `end`.
    package func read(until end: String) async throws -> String {
        while true {
            let text = String(buffer: received)
            if let place = text.firstRange(of: end) {
                let taken = String(text[..<place.upperBound])
                received.moveReaderIndex(forwardBy: taken.utf8.count)
                return taken
            }
            guard try await more() else { throw Ended(received: text) }
        }
    }

    /// Takes so many bytes.
    package func read(count: Int) async throws -> ByteBuffer {
        while received.readableBytes < count {
            guard try await more() else { throw Ended(received: String(buffer: received)) }
        }
        return received.readSlice(length: count) ?? ByteBuffer()
    }

    /// Everything until the other side ends the connection.
    package func readToEnd() async throws -> String {
        while try await more() {}
        defer { received.clear() }
        return String(buffer: received)
    }

    /// How many bytes come until the other side ends the connection, and the last ones; the others are not kept.
    package func lastToEnd(_ number: Int) async throws -> (count: Int, last: String) {
        var passed = 0
        repeat {
            let extra = max(0, received.readableBytes - number)
            received.moveReaderIndex(forwardBy: extra)
            received.discardReadBytes()
            passed += extra
        } while try await more()
        defer { received.clear() }
        return (passed + received.readableBytes, String(buffer: received))
    }

    private func more() async throws -> Bool {
        if isAtEnd { return false }
        // A copy, as an actor's own property cannot be changed across a suspension; both share the stream.
        var iterator = iterator
        guard let buffer = try await iterator.next(isolation: self) else {
            isAtEnd = true
            return false
        }
        // Else what was taken is kept until the end.
        if received.readerIndex > received.readableBytes { received.discardReadBytes() }
        received.writeImmutableBuffer(buffer)
        return true
    }
}
