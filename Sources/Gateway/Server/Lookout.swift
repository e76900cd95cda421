import CLinux
import Foundation
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
    /// Whether few requests are in hand, so that each can be seen to at once.
    var hasFew: Bool { requests <= Self.requestLimit }
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
        guard socket >= 0, sockets.last?.fd != socket else { return }
        if let known = sockets.firstIndex(where: { $0.fd == socket }) {
            sockets.remove(at: known)
        } else if sockets.count == Self.socketLimit {
            sockets.removeFirst()
        }
        sockets.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0))
    }

    /// Nothing more is read from a socket for now.
    func forget(_ socket: CInt) {
        sockets.removeAll { $0.fd == socket }
    }

    /// Something came, and has been seen to: what follows may be near.
    func saw() {
        guard Self.pays, !isLooking, hasFew, !sockets.isEmpty, policy.tries() else { return }
        isLooking = true
        // After everything else that came with it, and after what that asked for.
        let loop = loop.assumeIsolated()
        loop.execute { loop.execute { self.look() } }
    }

    private func look() {
        isLooking = false
        guard hasFew, !sockets.isEmpty else { return }
        // What is there already is found without looking.
        guard isQuiet else { return }
        let end = NIODeadline.now() + Self.window
        repeat {
            for _ in 0..<Self.pauses { martlet_pause() }
            guard isQuiet else {
                policy.found()
                return
            }
        } while .now() < end
        policy.missed()
    }

    /// Whether nothing has come. What is wrong with a socket is an event too, which the loop finds.
    private var isQuiet: Bool {
        guard poll(&sockets, nfds_t(sockets.count), 0) != 0 else { return true }
        sockets.removeAll { $0.revents & Int16(POLLNVAL) != 0 }
        return false
    }

    /// Whether there is a processor for whoever is waited for, and time of it left for others.
    private static let pays: Bool = {
        guard sysconf(CInt(_SC_NPROCESSORS_ONLN)) > 1 else { return false }
        // Microseconds of each period, or `max` (cgroup v2); where there is no such file there is no such limit.
        let limit = (try? String(contentsOfFile: "/sys/fs/cgroup/cpu.max", encoding: .utf8)) ?? "max"
        let parts = limit.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
        return parts.count < 2 || parts[0] >= parts[1]
    }()
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

    /// Where looks are in vain more often than not, one that is not gives little credit.
    mutating func found() { misses = misses >= Self.patience ? Self.patience - 1 : max(0, misses - 2) }

    mutating func missed() { misses += 1 }
}

extension ChannelHandlerContext {
    /// The number of the channel's socket; -1 for what has none.
    var socket: CInt {
        let socket = try? pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        return socket ?? -1
    }
}
