import Batches
import Foundation
import HTTPTransport
import Ledger
import LocalStack
import Logging
import ObjectStorage
import Pipeline
import TestPeers
import TestServers

@testable import Gateway

/// A bench with an object store, and a client of the batch API.
struct BatchBench: Sendable {
    let bench: Bench
    let store: BatchStore
    let storage: S3Client
    let bucket: String
    let transport: HTTPTransport
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// What the API answers.
    struct Answer: Sendable {
        let status: Int
        let bytes: [UInt8]

        var text: String { String(decoding: bytes, as: UTF8.self) }
        func json() throws -> JSONValue { try JSONValue(json: bytes) }
    }

    static func with(_ body: (BatchBench) async throws -> Void) async throws {
        let s3 = try await TestServers.shared.s3()
        let transport = HTTPTransport(logger: quiet)
        let storage = try S3Client(
            configuration: S3Configuration(
                endpoint: s3.endpoint, region: s3.region,
                credentials: S3Credentials(accessKeyID: s3.accessKey, secretAccessKey: s3.secretKey)),
            transport: transport, logger: quiet)
        let bucket = "batches" + String(UInt64.random(in: 0 ... .max), radix: 36)
        try await storage.createBucket(bucket)
        try await Bench.with { bench in
            try await body(
                BatchBench(
                    bench: bench, store: BatchStore(client: storage, bucket: bucket), storage: storage, bucket: bucket,
                    transport: transport))
        }
        _ = try await storage.deletePrefix(bucket: bucket, prefix: "batches/")
        try await storage.deleteBucket(bucket)
        await transport.close()
    }

    /// A gateway with keys `alice` and `bob`, of teams of their own, that answers the batch API.
    func gateway(port: Int?, _ body: (Gateway) async throws -> Void) async throws {
        for name in ["alice", "bob"] {
            if try await !bench.ledger.keys().contains(where: { $0.name == name }) {
                try await bench.makeKey(name, team: name)
            }
        }
        try await bench.gateway(port: port) { gateway in
            gateway.serve(BatchService(ledger: bench.ledger, store: store))
            try await eventually { gateway.notReady != "the keys are not known yet" }
            try await body(gateway)
        }
    }

    /// Works on batches while `body` runs.
    func working(
        _ gateway: Gateway, name: String = "w", _ change: (inout BatchConfiguration) -> Void = { _ in },
        _ body: () async throws -> Void
    ) async throws {
        var configuration = BatchConfiguration()
        configuration.pause = .milliseconds(50)
        // How a batch goes on is looked at three times as often.
        configuration.lease = 10
        configuration.partLines = 4
        change(&configuration)
        let runner = BatchRunner(
            ledger: bench.ledger, store: store, transport: transport,
            door: BatchDoor(url: gateway.url) { gateway.batchAuthorization(key: $0) }, prices: Bench.prices,
            configuration: configuration, name: name, logger: Self.quiet)
        // Unstructured: beside the body, and over before this returns.
        let working = Task { await runner.run() }
        do {
            try await body()
        } catch {
            working.cancel()
            await working.value
            throw error
        }
        working.cancel()
        await working.value
    }

    func call(
        _ gateway: Gateway, _ method: String, _ path: String, key: String = "alice", type: String = "application/json",
        body: String? = nil
    ) async throws -> Answer {
        let response = try await transport.send(
            HTTPRequest(
                method: method, url: gateway.url + path,
                headers: [HTTPHeader("authorization", "Bearer \(key)"), HTTPHeader("content-type", type)],
                body: body.map { .bytes(Array($0.utf8)) } ?? .none, retry: .none, proxy: .direct))
        return Answer(status: response.status, bytes: try await response.body.collect(upTo: 64 << 20))
    }

    /// Uploads a file; its id.
    func upload(_ gateway: Gateway, _ text: String, key: String = "alice") async throws -> String {
        let form =
            "--x\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x\r\ncontent-disposition: "
            + "form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n\(text)\r\n--x--\r\n"
        let answer = try await call(
            gateway, "POST", "/v1/files", key: key, type: "multipart/form-data; boundary=x", body: form)
        guard answer.status == 200, let id = try answer.json()["id"]?.stringValue else {
            throw Unexpected("the upload was answered with \(answer.status) \(answer.text)")
        }
        return id
    }

    /// Begins a batch; its id.
    func begin(
        _ gateway: Gateway, file: String, key: String = "alice", endpoint: String = "/v1/chat/completions"
    ) async throws -> String {
        let answer = try await call(
            gateway, "POST", "/v1/batches", key: key,
            body: #"{"input_file_id":"\#(file)","endpoint":"\#(endpoint)","completion_window":"24h"}"#)
        guard answer.status == 200, let id = try answer.json()["id"]?.stringValue else {
            throw Unexpected("the batch was answered with \(answer.status) \(answer.text)")
        }
        return id
    }

    /// Waits until the batch is over.
    func end(_ gateway: Gateway, _ id: String) async throws -> JSONValue {
        var batch = JSONValue.null
        try await eventually {
            batch = try await call(gateway, "GET", "/v1/batches/\(id)").json()
            return Batch.Status(rawValue: batch["status"]?.stringValue ?? "")?.isOver == true
        }
        return batch
    }

    /// The lines of a file that a batch wrote; none where it wrote none.
    func lines(_ gateway: Gateway, _ file: JSONValue?) async throws -> [JSONValue] {
        guard let id = file?.stringValue else { return [] }
        let content = try await call(gateway, "GET", "/v1/files/\(id)/content")
        guard content.status == 200 else { throw Unexpected("\(content.status) \(content.text)") }
        return try content.text.split(separator: "\n").map { try JSONValue(json: Array($0.utf8)) }
    }

    static func line(_ id: String, model: String = "m", content: String = "hi") -> String {
        #"{"custom_id":"\#(id)","method":"POST","url":"/v1/chat/completions","body":{"model":"\#(model)","messages":[{"role":"user","content":"\#(content)"}],"max_tokens":8}}"#
    }
}

struct Unexpected: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
