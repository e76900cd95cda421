import CLinux
import Glibc
import NIOCore

/// Reads the streams of an event loop that has many of them: each millisecond all those that have something, one after
/// another. Used on that loop only.
///
/// With a thousand streams the way through the loop's selector and the channel to its handler takes a sixth of what a chunk
/// takes in all (`GatewayLimits.readsTogether`).
final class StreamReader {
    private static let interval = TimeAmount.milliseconds(1)
    /// Bytes of a stream that are read at a time.
    private static let capacity = 16_384

    private let loop: any EventLoop
    /// -1 before the first stream.
    private var epoll: CInt = -1
    private var connections: [UpstreamConnection?] = []
    /// Places in it that are free.
    private var free: [Int] = []
    private var ready = [UInt64](repeating: 0, count: Int(MARTLET_EPOLL_MOST))
    /// What is read, unless somebody keeps it.
    private var buffer = ByteBuffer()
    private var isScheduled = false

    init(_ loop: any EventLoop) {
        self.loop = loop
    }

    deinit {
        if epoll >= 0 { Glibc.close(epoll) }
    }

    /// From now on the connection is given what comes (`UpstreamConnection.take`); its channel must not read.
    /// - Returns: its place; nil where the system has none.
    func add(_ connection: UpstreamConnection, _ socket: CInt) -> Int? {
        if epoll < 0 { epoll = martlet_epoll() }
        let place = free.popLast() ?? connections.count
        guard epoll >= 0, socket >= 0, martlet_epoll_add(epoll, socket, UInt64(place)) == 0 else {
            if place < connections.count { free.append(place) }
            return nil
        }
        if place < connections.count { connections[place] = connection } else { connections.append(connection) }
        schedule(.now() + Self.interval)
        return place
    }

    /// - Parameter socket: nil where it is closed, by which it has left already.
    func remove(_ place: Int, _ socket: CInt?) {
        connections[place] = nil
        free.append(place)
        if let socket { _ = martlet_epoll_remove(epoll, socket) }
    }

    private func schedule(_ time: NIODeadline) {
        guard !isScheduled, free.count < connections.count else { return }
        isScheduled = true
        _ = loop.assumeIsolated().scheduleTask(deadline: time) { self.look() }
    }

    private func look() {
        let began = NIODeadline.now()
        isScheduled = false
        // Once for each stream, or nearly: all else on the loop waits.
        for _ in 0...connections.count / ready.count {
            let count = Int(ready.withUnsafeMutableBufferPointer { martlet_epoll_ready(epoll, $0.baseAddress) })
            guard count > 0 else { break }
            for index in 0..<count {
                // One of those before may have ended it.
                if let connection = connections[Int(ready[index])] { read(connection) }
            }
            guard count == ready.count else { break }
        }
        buffer.clear()
        schedule(max(began + Self.interval, .now()))
    }

    private func read(_ connection: UpstreamConnection) {
        buffer.clear(minimumCapacity: Self.capacity)
        var isOver = false
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.capacity) { bytes in
            let count = recv(connection.socket, bytes.baseAddress, Self.capacity, CInt(MSG_DONTWAIT))
            isOver = count == 0 || count < 0 && errno != EAGAIN && errno != EINTR
            return max(0, count)
        }
        if isOver {
            // The channel sees it too, and closes.
            connection.leaveStreams(readsOn: true)
        } else if buffer.readableBytes > 0 {
            connection.take(buffer)
        }
    }
}
