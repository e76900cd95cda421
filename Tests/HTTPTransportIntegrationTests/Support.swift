import Foundation
import Logging
import Testing

@testable import HTTPTransport

func makeTransport(_ adjust: (inout HTTPTransportConfiguration) -> Void = { _ in }) -> HTTPTransport {
    var configuration = HTTPTransportConfiguration(environment: [:])
    adjust(&configuration)
    return HTTPTransport(configuration: configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
}

/// What the peer's echo saw.
struct Echo: Decodable {
    let method: String
    let target: String
    let headers: [[String]]
    let size: Int
    let sha256: String
    let connection: Int
    let count: Int

    func header(_ name: String) -> String? {
        headers.first { $0[0].lowercased() == name.lowercased() }?[1]
    }
}

extension HTTPResponse {
    func echo() async throws -> Echo {
        try JSONDecoder().decode(Echo.self, from: Data(try await body.collect(upTo: 1 << 20)))
    }

    func text() async throws -> String {
        String(decoding: try await body.collect(upTo: 1 << 20), as: UTF8.self)
    }
}

func code(_ error: (any Error)?) -> HTTPError.Code? {
    (error as? HTTPError)?.code
}

/// A folder that is gone when the closure returns.
func withTemporaryFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-http-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder.path)
}

/// Resident memory of this process, in bytes.
func residentBytes() throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    let pages = try #require(Int(text.split(separator: " ")[1]))
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
}

/// Runs what blocks on a thread of its own: the test threads are as few as the cores.
func offPool<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result(catching: body)) }
    }
}

/// Runs a program and fails the test with what it said.
func run(_ program: String, _ arguments: String...) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [program] + arguments
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = errors
    try process.run()
    let said = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(program): \(String(decoding: said, as: UTF8.self))")
}

/// A certificate authority and a certificate for 127.0.0.1 and localhost, made for one test.
struct Certificates: Sendable {
    let authority: String
    let certificate: String
    let key: String

    static func make(folder: String) async throws -> Certificates {
        try await offPool { try Certificates(folder: folder) }
    }

    private init(folder: String) throws {
        authority = folder + "/ca.pem"
        certificate = folder + "/cert.pem"
        key = folder + "/key.pem"
        let caKey = folder + "/ca-key.pem"
        let request = folder + "/request.pem"
        let extensions = folder + "/extensions"
        try "subjectAltName=IP:127.0.0.1,DNS:localhost\n".write(toFile: extensions, atomically: true, encoding: .utf8)
        try run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=test authority", "-keyout", caKey, "-out", authority)
        try run(
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/CN=localhost", "-keyout", key, "-out", request)
        try run(
            "openssl", "x509", "-req", "-in", request, "-CA", authority, "-CAkey", caKey, "-CAcreateserial", "-days",
            "2", "-extfile", extensions, "-out", certificate)
    }
}

/// Chunks from an array, one after another.
struct Chunks: AsyncSequence, Sendable {
    typealias Element = [UInt8]
    typealias Failure = any Error
    let count: Int
    let chunk: [UInt8]
    var failsAt: Int?

    struct Iterator: AsyncIteratorProtocol {
        typealias Failure = any Error
        let chunks: Chunks
        var index = 0

        mutating func next() async throws -> [UInt8]? {
            try await next(isolation: nil)
        }

        mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> [UInt8]? {
            if index == chunks.failsAt { throw SourceFailure() }
            guard index < chunks.count else { return nil }
            index += 1
            return chunks.chunk
        }
    }

    func makeAsyncIterator() -> Iterator {
        Iterator(chunks: self)
    }
}

struct SourceFailure: Error {}
