import Glibc
import Synchronization

/// An HTTP server on a thread of its own that answers as a test says: for the failures that no store has on demand.
final class ScriptedServer: Sendable {
    struct Request: Sendable {
        let line: String
        let headers: [String: String]
        let body: [UInt8]
    }

    enum Reply: Sendable {
        case answer(Int, headers: [String: String] = [:], body: String = "")
        /// The connection is closed without an answer.
        case hangUp
        /// The head promises more bytes than come.
        case cutOff(promised: Int, headers: [String: String] = [:], body: String)
    }

    let port: UInt16
    private let listener: Int32
    private let seen = Mutex<[Request]>([])
    private let script: @Sendable (Int, Request) -> Reply

    var requests: [Request] { seen.withLock { $0 } }

    /// - Parameter script: given the request's number, from 0, and the request.
    init(_ script: @escaping @Sendable (Int, Request) -> Reply) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listener, pointer, length) | listen(listener, 16) | getsockname(listener, pointer, &length)
            }
        }
        guard listener >= 0, status == 0 else { throw Failure(errno: errno) }
        self.listener = listener
        port = UInt16(bigEndian: address.sin_port)
        self.script = script
        var thread = pthread_t()
        let box = Unmanaged.passRetained(self)
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<ScriptedServer>.fromOpaque(argument).takeRetainedValue().serve()
                return nil
            }, box.toOpaque())
        pthread_detach(thread)
    }

    struct Failure: Error { let errno: Int32 }

    /// Ends the thread, which holds the last reference.
    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private func serve() {
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { break }
            handle(connection)
            close(connection)
        }
        close(listener)
    }

    /// One request per connection: every answer closes it.
    private func handle(_ connection: Int32) {
        var received: [UInt8] = []
        var request: (head: [Substring], start: Int, length: Int)?
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while request.map({ received.count < $0.start + $0.length }) ?? true {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            received += buffer[..<count]
            guard request == nil, let end = headEnd(received) else { continue }
            let head = String(decoding: received[..<end], as: UTF8.self).split(separator: "\r\n")
            let fields = Self.fields(head)
            request = (head, end, fields["content-length"].flatMap { Int($0) } ?? 0)
            if fields["expect"] != nil { send(connection, Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) }
        }
        guard let request else { return }
        let parsed = Request(
            line: request.head.first.map(String.init) ?? "", headers: Self.fields(request.head),
            body: Array(received[request.start...]))
        let number = seen.withLock { seen in
            seen.append(parsed)
            return seen.count - 1
        }
        switch script(number, parsed) {
        case .hangUp: break
        case .answer(let status, let headers, let body):
            respond(connection, status, headers, body, length: body.utf8.count)
        case .cutOff(let promised, let headers, let body): respond(connection, 200, headers, body, length: promised)
        }
    }

    private func respond(
        _ connection: Int32, _ status: Int, _ headers: [String: String], _ body: String, length: Int
    ) {
        var head = "HTTP/1.1 \(status) X\r\nConnection: close\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if headers["Content-Length"] == nil { head += "Content-Length: \(length)\r\n" }
        send(connection, Array("\(head)\r\n\(body)".utf8))
    }

    private func send(_ connection: Int32, _ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    connection, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    private func headEnd(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4) where bytes[index..<(index + 4)].elementsEqual("\r\n\r\n".utf8) {
            return index + 4
        }
        return nil
    }

    private static func fields(_ head: [Substring]) -> [String: String] {
        var fields: [String: String] = [:]
        for line in head.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon].lowercased()] = line[line.index(after: colon)...].drop { $0 == " " }.description
        }
        return fields
    }
}
