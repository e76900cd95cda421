import CLinux
import Glibc
import NIOCore

/// Looks for what comes next a moment longer, before the event loop sleeps: to wake a thread on another core takes longer
/// than a peer that is quick takes to answer. Used on one event loop.
///
/// Only with few requests in hand, as otherwise there is always something to do, and only as long as it pays
/// (`LookoutPolicy`): all else on the loop waits for so long.
final class Lookout {
    /// How long it looks.
    static let window = TimeAmount.microseconds(100)
    /// Requests in hand at most.
    private static let requestLimit = 4
    /// Sockets at most: of each request the client's and the replica's.
    private static let socketLimit = 8
    /// Between two looks, so that whoever brings the next event is not held up by them.
    private static let pauses = 20

    /// Requests that have begun and not ended.
    var requests = 0
    private let loop: any EventLoop
    private var policy = LookoutPolicy()
    /// Where something may come; the last one was expected last.
    private var sockets: [pollfd] = []
    private var isLooking = false

    init(_ loop: any EventLoop) {
        self.loop = loop
    }

    /// Something may soon come from a socket.
    func expect(_ socket: CInt) {
        guard requests <= Self.requestLimit, socket >= 0, !sockets.contains(where: { $0.fd == socket }) else { return }
        if sockets.count == Self.socketLimit { sockets.removeFirst() }
        sockets.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0))
    }

    /// A socket is closed.
    func forget(_ socket: CInt) {
        sockets.removeAll { $0.fd == socket }
    }

    /// Something came, and has been seen to: what follows may be near.
    func saw() {
        guard !isLooking, requests <= Self.requestLimit, !sockets.isEmpty, policy.tries() else { return }
        isLooking = true
        // After everything else that came with it.
        loop.assumeIsolated().execute { self.look() }
    }

    private func look() {
        isLooking = false
        guard requests <= Self.requestLimit else { return }
        let end = NIODeadline.now() + Self.window
        repeat {
            // What is wrong with a socket is an event too: the loop will find it.
            guard poll(&sockets, nfds_t(sockets.count), 0) == 0 else {
                policy.found()
                return
            }
            for _ in 0..<Self.pauses { martlet_pause() }
        } while .now() < end
        policy.missed()
    }
}

/// When to look: as long as nothing is found, ever more seldom, as before a model that takes its time. Pure.
struct LookoutPolicy: Equatable, Sendable {
    /// So many looks in vain are not counted.
    static let patience = 4
    /// Events after which it is tried again, at most.
    static let longest = 1_024

    private var misses = 0
    private var passed = 0

    /// An event was seen to: whether to look for the next one.
    mutating func tries() -> Bool {
        let rest = misses < Self.patience ? 0 : min(Self.longest, 1 << min(misses - Self.patience, 20))
        guard passed >= rest else {
            passed += 1
            return false
        }
        passed = 0
        return true
    }

    mutating func found() { misses = 0 }

    mutating func missed() { misses += 1 }
}

extension ChannelHandlerContext {
    /// The number of the channel's socket; -1 for what has none.
    var socket: CInt {
        let socket = try? pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        return socket ?? -1
    }
}
