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
    /// After a look, at least: as long as something is due at once, the loop asks none of its channels what has come.
    private static let rest = TimeAmount.microseconds(100)
    /// After that a look asks for no more of those that have something.
    private static let longest = TimeAmount.milliseconds(5)
    /// Bytes of a stream that are read at a time.
    private static let capacity = 16_384

    /// So many streams that have something the system names at a time.
    static let namedAtOnce = Int(MARTLET_EPOLL_MOST)

    /// Answers in hand that come in pieces, whoever reads them.
    var answers = 0
    /// Whether they are so many that they should be read together.
    var hasMany: Bool { answers >= most }
    /// Those that are read together.
    var count: Int { connections.count - free.count }
    private let loop: any EventLoop
    /// Answers in pieces from which on they are read together; with less than half as many, no longer.
    private let most: Int
    /// -1 before the first stream.
    private var epoll: CInt = -1
    private var connections: [UpstreamConnection?] = []
    /// Places in it that are free.
    private var free: [Int] = []
    private var ready = [UInt64](repeating: 0, count: StreamReader.namedAtOnce)
    /// What is read. Those who get it get a copy: kept, a few bytes take no more memory than they need.
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: StreamReader.capacity, alignment: 16)
    private var isScheduled = false

    init(_ loop: any EventLoop, from most: Int) {
        self.loop = loop
        self.most = most
    }

    deinit {
        buffer.deallocate()
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
        guard !isScheduled, count > 0 else { return }
        isScheduled = true
        _ = loop.assumeIsolated().scheduleTask(deadline: time) { self.look() }
    }

    private func look() {
        let began = NIODeadline.now()
        isScheduled = false
        // Once for each stream, or nearly, and not for long: all else on the loop waits. Those that are left come first the
        // next time, as the system puts those that it has named behind them.
        for _ in 0...connections.count / ready.count where .now() < began + Self.longest {
            let count = Int(ready.withUnsafeMutableBufferPointer { martlet_epoll_ready(epoll, $0.baseAddress) })
            guard count > 0 else { break }
            for index in 0..<count {
                // One of those before may have ended it.
                if let connection = connections[Int(ready[index])] { read(connection) }
            }
            guard count == ready.count else { break }
        }
        if answers < most / 2 {
            for connection in connections { connection?.leaveStreams(readsOn: true) }
        }
        // After what the look has asked for: that the clients get what has come.
        loop.assumeIsolated().execute { self.schedule(max(began + Self.interval, .now() + Self.rest)) }
    }

    private func read(_ connection: UpstreamConnection) {
        let count = recv(connection.socket, buffer.baseAddress, buffer.count, CInt(MSG_DONTWAIT))
        if count > 0 {
            connection.take(ByteBuffer(bytes: UnsafeRawBufferPointer(rebasing: buffer[..<count])))
        } else if count == 0 || errno != EAGAIN && errno != EINTR {
            // The channel sees it too, and closes.
            connection.leaveStreams(readsOn: true)
        }
    }
}
