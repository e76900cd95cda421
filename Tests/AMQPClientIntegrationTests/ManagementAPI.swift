import AMQPClient
import Glibc

/// A little of RabbitMQ's HTTP API, on a plain socket.
struct ManagementAPI {
    private let configuration: AMQPConfiguration

    /// - Parameter url: with user and password.
    init(url: String) throws {
        configuration = try AMQPConfiguration(url: url.replacing("http://", with: "amqp://"))
    }

    /// Names of the connections that a client opened under `name`.
    func connections(named name: String) throws -> [String] {
        let answer = try request("GET", "/api/connections?columns=name,client_properties.connection_name")
        // One object per connection; both values are plain strings.
        return answer.split(separator: "{\"client_properties\"").dropFirst().compactMap { object in
            guard object.contains("\"\(name)\"") || object.contains("\"\(name) (") else { return nil }
            guard let start = object.firstRange(of: "\"name\":\"") else { return nil }
            return String(object[start.upperBound...].prefix { $0 != "\"" })
        }
    }

    func closeConnection(_ name: String) throws {
        let path = name.utf8.map { byte in
            UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte ? String(UnicodeScalar(byte)) : "%\(String(byte, radix: 16))"
        }.joined()
        _ = try request("DELETE", "/api/connections/\(path)")
    }

    private func request(_ method: String, _ path: String) throws -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = configuration.port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw Overdue(what: "management API: errno \(errno)") }
        let credentials = Self.base64(Array("\(configuration.username):\(configuration.password)".utf8))
        let text =
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic \(credentials)\r\n"
            + "Content-Length: 0\r\nConnection: close\r\n\r\n"
        _ = send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL))
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { break }
            answer += buffer[..<count]
        }
        let result = String(decoding: answer, as: UTF8.self)
        guard result.hasPrefix("HTTP/1.1 2") else { throw Overdue(what: "\(method) \(path): \(result.prefix(200))") }
        return result
    }

    static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let chunk = bytes[start..<min(start + 3, bytes.count)]
            let bits = chunk.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - chunk.count))
            for place in 0..<4 {
                text.append(place <= chunk.count ? alphabet[bits >> (18 - 6 * place) & 63] : "=")
            }
        }
        return text
    }
}
