import Dispatch
import Glibc

/// A plain TCP connection to this machine, for tests that need to see every byte.
final class TestSocket: Sendable {
    private let descriptor: Int32

    struct Failure: Error {
        let errorNumber: Int32
    }

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        // A throw from here on runs `deinit`, since every property is set: it closes the socket.
        guard result == 0 else { throw Failure(errorNumber: errno) }
    }

    deinit {
        close(descriptor)
    }

    /// Sends the text and returns what comes back until `end` or the other side's close.
    func exchange(_ text: String, until end: String? = nil) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try self.exchangeBlocking(text, until: end) })
            }
        }
    }

    private func exchangeBlocking(_ text: String, until end: String?) throws -> String {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            // The server may answer and close before it has read everything.
            guard count > 0 else { break }
            sent += count
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EAGAIN { throw Failure(errorNumber: EAGAIN) }
            if count <= 0 { break }
            answer.append(contentsOf: buffer[..<count])
            if let end, String(decoding: answer, as: UTF8.self).hasSuffix(end) { break }
        }
        return String(decoding: answer, as: UTF8.self)
    }
}
