import FoundationEssentials
import HTTPTransport
import Logging
import Pipeline

/// RabbitMQ's management API, as far as the tests need it.
struct ManagementAPI: Sendable {
    private static let transport = HTTPTransport(
        logger: Logger(label: "martlet.tests") { _ in SwiftLogNoOpLogHandler() })

    private let origin: String
    private let user: String
    private let authorization: String

    /// - Parameter url: `http://user:password@host:port`, of letters and digits only.
    init(url: String) throws {
        let parts = url.split(separator: "://").last?.split(separator: "@") ?? []
        guard parts.count == 2, let user = parts[0].split(separator: ":").first else {
            throw Unexpected("the management API's URL has another shape than expected")
        }
        origin = "http://\(parts[1])/api/"
        self.user = String(user)
        authorization = "Basic " + Data(parts[0].utf8).base64EncodedString()
    }

    func makeHost(_ name: String) async throws {
        try await send("PUT", "vhosts/\(name)")
        try await send(
            "PUT", "permissions/\(name)/\(user)", body: #"{"configure":".*","write":".*","read":".*"}"#)
    }

    /// Empties every queue of a virtual host; returns how many there are.
    func purge(host: String) async throws -> Int {
        struct Queue: Decodable {
            var name: String
        }
        let answer = try await send("GET", "queues/\(host)?columns=name")
        let queues = try JSONDecoder().decode([Queue].self, from: Data(answer))
        for queue in queues { try await send("DELETE", "queues/\(host)/\(queue.name)/contents") }
        return queues.count
    }

    @discardableResult
    private func send(_ method: String, _ path: String, body: String? = nil) async throws -> [UInt8] {
        let response = try await Self.transport.send(
            HTTPRequest(
                method: method, url: origin + path,
                headers: [
                    HTTPHeader("Authorization", authorization), HTTPHeader("Content-Type", "application/json"),
                ],
                body: body.map { .bytes(Array($0.utf8)) } ?? .none))
        let answer = try await response.body.collect(upTo: 1 << 20)
        guard (200..<300).contains(response.status) else {
            throw Unexpected(
                "\(method) \(path): HTTP \(response.status) \(String(decoding: answer.prefix(200), as: UTF8.self))")
        }
        return answer
    }
}
