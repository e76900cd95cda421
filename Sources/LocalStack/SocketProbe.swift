import Dispatch
import Glibc

/// Asks a server on the loopback address one question, within a time limit. Blocking: see `offPool`.
enum SocketProbe {
    /// Why a server is not ready yet.
    struct Failure: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) {
            self.description = description
        }
    }

    /// Sends `request` and returns what comes back until `isComplete` says so, the server closes, or
    /// `limit` bytes are there.
    /// - Parameter timeout: for each step, in seconds.
    static func exchange(
        port: UInt16, request: [UInt8], timeout: Int = 2, limit: Int = 65_536, isComplete: ([UInt8]) -> Bool
    ) throws(Failure) -> [UInt8] {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("no socket: \(systemMessage(errno))") }
        defer { close(descriptor) }
        // On Linux the send timeout bounds connect as well.
        var limitTime = timeval(tv_sec: timeout, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limitTime, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limitTime, socklen_t(MemoryLayout<timeval>.size))
        guard withLoopbackAddress(port, { connect(descriptor, $0, $1) }) == 0 else {
            throw Failure("nothing accepts connections on port \(port): \(systemMessage(errno))")
        }
        var sent = 0
        while sent < request.count {
            let count = request.withUnsafeBytes { buffer in
                send(
                    descriptor, buffer.baseAddress?.advanced(by: sent), buffer.count - sent,
                    Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure("port \(port) closed the connection: \(systemMessage(errno))") }
            sent += count
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while answer.count < limit, !isComplete(answer) {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 { throw Failure("no answer on port \(port): \(systemMessage(errno))") }
            if count == 0 { break }
            answer.append(contentsOf: buffer[..<count])
        }
        return answer
    }

    /// The status code of `GET path`.
    /// - Parameter basic: user and password joined by a colon, when the path needs them.
    static func httpStatus(port: UInt16, path: String, basic: String? = nil) throws(Failure) -> Int {
        let credentials = basic.map { "Authorization: Basic \(base64($0))\r\n" } ?? ""
        let request = "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n\(credentials)Connection: close\r\n\r\n"
        let answer = try exchange(port: port, request: Array(request.utf8)) { $0.contains(UInt8(ascii: "\n")) }
        let line = String(decoding: answer.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
        let words = line.split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/"), let status = Int(words[1]) else {
            throw Failure("port \(port) does not speak HTTP (\(line.prefix(60)))")
        }
        return status
    }

    /// Runs a blocking probe on a thread that Swift's tasks do not share.
    static func offPool<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Swift.Result(catching: body))
            }
        }
    }

    private static func base64(_ text: String) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        let bytes = Array(text.utf8)
        var result = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for position in 0..<4 {
                result.append(position <= group.count ? alphabet[bits >> (18 - 6 * position) & 63] : "=")
            }
        }
        return result
    }
}
