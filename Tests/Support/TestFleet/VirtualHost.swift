package import AMQPClient
import Broker
import HTTPTransport
import Logging
import TestServers

/// A virtual host of the shared broker for one test: the fleet's queues have fixed names.
package struct VirtualHost: Sendable {
    package let url: String
    private let name: String
    private let management: AMQPConfiguration
    private let transport: HTTPTransport

    package static func make() async throws -> VirtualHost {
        let server = try await TestServers.shared.rabbitMQ()
        let name = "t" + String(UInt64.random(in: 0 ... .max), radix: 36)
        // The management URL has the shape of an AMQP URL: scheme, user, password, host, port.
        let management = try AMQPConfiguration(url: server.managementURL.replacing("http://", with: "amqp://"))
        var base = server.url
        // Whatever virtual host the URL names is replaced.
        if let authority = base.firstRange(of: "://")?.upperBound, let slash = base[authority...].firstIndex(of: "/") {
            base = String(base[..<slash])
        }
        let host = VirtualHost(
            url: base + "/" + name, name: name, management: management,
            transport: HTTPTransport(logger: Logger(label: "test")))
        try await host.call("PUT", "/api/vhosts/\(name)", body: "{}")
        try await host.call(
            "PUT", "/api/permissions/\(name)/\(management.username)",
            body: #"{"configure":".*","write":".*","read":".*"}"#)
        return host
    }

    package func remove() async {
        // Best effort on the way out: the broker goes with the test process.
        try? await call("DELETE", "/api/vhosts/\(name)", body: nil)
        await transport.close()
    }

    package func client(_ name: String) throws -> AMQPClient {
        var configuration = try AMQPConfiguration(url: url)
        configuration.maximumMessageBytes = Broker.maximumMessageBytes
        return AMQPClient(configuration: configuration, connectionName: name, logger: Logger(label: "test"))
    }

    private func call(_ method: String, _ path: String, body: String?) async throws {
        let credentials = Base64.encode(Array("\(management.username):\(management.password)".utf8))
        let request = HTTPRequest(
            method: method, url: "http://\(management.host):\(management.port)\(path)",
            headers: [
                HTTPHeader("Authorization", "Basic \(credentials)"), HTTPHeader("Content-Type", "application/json"),
            ], body: body.map { .bytes(Array($0.utf8)) } ?? .none)
        let response = try await transport.send(request)
        guard (200..<300).contains(response.status) else { throw Unexpected("\(method) \(path): \(response.status)") }
    }
}

/// What a test did not expect.
package struct Unexpected: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

enum Base64 {
    static func encode(_ bytes: [UInt8]) -> String {
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
