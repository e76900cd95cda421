import NIOCore
import NIOPosix

/// A model server that does what a test says, byte by byte: for the faults that the real one does not have at hand.
package final class ScriptedUpstream: Sendable {
    package let port: Int
    private let channel: NIOAsyncChannel<NIOAsyncChannel<ByteBuffer, ByteBuffer>, Never>
    private let serving: Task<Void, Never>

    /// Listens, calls `body`, and closes.
    /// - Parameter script: called for each connection.
    package static func with<Result: Sendable>(
        _ script: @escaping @Sendable (WirePeer) async throws -> Void,
        _ body: (ScriptedUpstream) async throws -> Result
    ) async throws -> Result {
        let upstream = try await ScriptedUpstream(script)
        do {
            let result = try await body(upstream)
            await upstream.stop()
            return result
        } catch {
            await upstream.stop()
            throw error
        }
    }

    private init(_ script: @escaping @Sendable (WirePeer) async throws -> Void) async throws {
        let channel = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // Hundreds may come at once: those for whom there is no room try again only after a second.
            .serverChannelOption(.backlog, value: 4_096)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(
                            backPressureStrategy: .init(lowWatermark: 1, highWatermark: 2),
                            isOutboundHalfClosureEnabled: true))
                }
            }
        self.channel = channel
        port = channel.channel.localAddress?.port ?? 0
        // Unstructured: beside the test's body, until `stop`.
        serving = Task {
            try? await channel.executeThenClose { connections in
                try await withThrowingDiscardingTaskGroup { group in
                    for try await connection in connections {
                        group.addTask { try? await WirePeer.serve(connection) { try await script($0) } }
                    }
                }
            }
        }
    }

    private func stop() async {
        serving.cancel()
        try? await channel.channel.close().get()
        await serving.value
    }
}

extension WirePeer {
    /// Reads one request with a body of known length.
    package func readRequest() async throws -> (head: String, body: String) {
        let head = try await read(until: "\r\n\r\n")
        let lines = head.lowercased().split(separator: "\r\n")
        let length = lines.first { $0.hasPrefix("content-length: ") }.flatMap { Int($0.dropFirst(16)) } ?? 0
        return (head, String(buffer: try await read(count: length)))
    }

    /// Reads one response with a body of known length.
    package func readResponse() async throws -> (head: String, body: String) { try await readRequest() }

    /// Answers with JSON.
    package func answer(_ body: String, status: String = "200 OK", fields: String = "") async throws {
        try await send(
            "HTTP/1.1 \(status)\r\ncontent-type: application/json\r\n\(fields)content-length: \(body.utf8.count)\r\n\r\n\(body)"
        )
    }

    /// Begins a stream of events.
    package func beginEvents() async throws {
        try await send(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n")
    }

    package func sendChunk(_ text: String) async throws {
        try await send("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
    }

    package func sendEvent(_ data: String) async throws {
        try await sendChunk("data: \(data)\n\n")
    }
}
