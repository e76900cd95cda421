import Foundation
import Synchronization
import Testing

@testable import HTTPTransport

@Suite(.timeLimit(.minutes(4)))
struct RequestTests {
    let peer: Peer
    let transport = makeTransport()

    init() async throws {
        peer = try await Peer.shared()
    }

    @Test func theTargetAndTheHeadersArriveAsTheyAre() async throws {
        let response = try await transport.send(
            HTTPRequest(
                url: peer.url + "/a/../b//c%2Fd%20e+f?x=%2B&y",
                headers: [HTTPHeader("X-One", "1"), HTTPHeader("X-Empty", ""), HTTPHeader("Host", "other.example")]))
        #expect(response.status == 200)
        let echo = try await response.echo()
        #expect(echo.target == "/a/../b//c%2Fd%20e+f?x=%2B&y")
        #expect(echo.header("X-One") == "1")
        #expect(echo.header("X-Empty") == "")
        #expect(echo.header("host") == "other.example")
        #expect(echo.header("accept-encoding") == nil)
        #expect(echo.header("expect") == nil)
        #expect(echo.header("user-agent") == "martlet")
    }

    @Test(arguments: ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
    func everyMethodKeepsItsConnection(method: String) async throws {
        let transport = makeTransport()
        var policy = HTTPRetryPolicy.none
        policy.isSafeToRepeat = true
        var connections: Set<Int> = []
        for _ in 1...3 {
            let response = try await transport.send(HTTPRequest(method: method, url: peer.url + "/e", retry: policy))
            let body = try await response.body.collect(upTo: 10_000)
            guard method != "HEAD" else {
                #expect(body.isEmpty)
                #expect(response.headers["content-length"] == "12345")
                continue
            }
            let echo = try JSONDecoder().decode(Echo.self, from: Data(body))
            #expect(echo.method == method)
            connections.insert(echo.connection)
            if ["PUT", "POST", "PATCH"].contains(method) { #expect(echo.header("content-length") == "0") }
        }
        #expect(connections.count <= 1)
    }

    @Test func aBodyOfBytesArrives() async throws {
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let response = try await transport.send(
            HTTPRequest(
                method: "POST", url: peer.url + "/e", headers: [HTTPHeader("Content-Length", "300000")],
                body: .bytes(bytes)))
        let echo = try await response.echo()
        #expect(echo.size == 300_000)
        #expect(echo.header("content-length") == "300000")
        #expect(echo.header("transfer-encoding") == nil)
    }

    @Test func aPartOfAFileArrives() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/body"
            try Data("0123456789".utf8).write(to: URL(fileURLWithPath: path))
            let response = try await transport.send(
                HTTPRequest(method: "PUT", url: peer.url + "/e", body: .file(path: path, offset: 2, length: 5)))
            let echo = try await response.echo()
            #expect(echo.size == 5)
            // printf 23456 | sha256sum
            #expect(echo.sha256 == "9b56ca8566a48b98a8c29a7fd307038ed555123439a937eb85d9c45166881e6e")
        }
    }

    @Test(arguments: [nil, Int64(700_000)])
    func aStreamArrives(length: Int64?) async throws {
        let chunk = [UInt8](repeating: 7, count: 7000)
        let response = try await transport.send(
            HTTPRequest(
                method: "PUT", url: peer.url + "/e",
                body: .stream(length: length) { Chunks(count: 100, chunk: chunk) }))
        let echo = try await response.echo()
        #expect(echo.header("transfer-encoding") == (length == nil ? "chunked" : nil))
        #expect(echo.size == 700_000)
    }

    @Test(arguments: [99, 101])
    func aStreamOfAnotherLengthThanAnnouncedIsAnError(count: Int) async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(
                HTTPRequest(
                    method: "PUT", url: peer.url + "/e",
                    body: .stream(length: 100 * 10) { Chunks(count: count, chunk: [UInt8](repeating: 1, count: 10)) }))
        }
        #expect(error?.code == .requestBodyFailed)
    }

    @Test func aFailingStreamIsNamedAndNotSentAgain() async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await transport.send(
                HTTPRequest(
                    method: "PUT", url: peer.url + "/e?key=failing",
                    body: .stream(length: nil) { Chunks(count: 9, chunk: [1, 2, 3], failsAt: 5) }))
        }
        #expect(error?.code == .requestBodyFailed)
        #expect(error?.underlying is SourceFailure)
    }

    @Test func chunkedAndInterimAnswersAreRead() async throws {
        let chunked = try await transport.send(HTTPRequest(url: peer.url + "/chunked?n=20000"))
        let text = try await chunked.text()
        #expect(text.utf8.count == 140_000)
        #expect(text.hasSuffix("019999\n"))
        #expect(chunked.headers["x-sum"] == nil)

        let interim = try await transport.send(HTTPRequest(url: peer.url + "/interim"))
        #expect(interim.status == 200)
        #expect(interim.headers["x-final"] == "1")
        #expect(interim.headers["link"] == nil)
        #expect(try await interim.text() == "final")
    }

    @Test func compressionIsOnlyAskedForOnRequestAndIsBounded() async throws {
        let raw = try await transport.send(HTTPRequest(url: peer.url + "/gzip?n=1000000"))
        #expect(try await raw.body.collect(upTo: 1 << 20).count < 5000)

        let unpacked = try await transport.send(
            HTTPRequest(url: peer.url + "/gzip?n=1000000", decompressionLimit: 1_000_000))
        #expect(try await unpacked.body.collect(upTo: 1 << 20).count == 1_000_000)

        let error = await #expect(throws: HTTPError.self) {
            let bomb = try await transport.send(
                HTTPRequest(url: peer.url + "/gzip?n=50000000", decompressionLimit: 1_000_000))
            return try await bomb.body.collect(upTo: .max)
        }
        #expect(error?.code == .bodyTooLarge)
    }

    @Test func aLargeBodyMayAskFirst() async throws {
        let response = try await transport.send(
            HTTPRequest(
                method: "PUT", url: peer.url + "/e", body: .bytes([UInt8](repeating: 0, count: 2 << 20)),
                expectsContinue: true))
        #expect(try await response.echo().header("expect")?.lowercased() == "100-continue")
    }

    @Test func aDownloadGoesStraightIntoTheFile() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/download"
            let file = open(path, O_RDWR | O_CREAT, 0o600)
            defer { close(file) }
            let result = try await transport.download(
                HTTPRequest(url: peer.url + "/range", headers: [HTTPHeader("Range", "bytes=10-19")]),
                to: HTTPFileDestination(descriptor: file, offset: 5))
            #expect(result.status == 206 && result.isWritten && result.bytesWritten == 10)
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(Array(data) == [0, 0, 0, 0, 0] + (10...19).map { UInt8($0) })

            // A server that ignores the range must not spoil the file.
            let ignored = try await transport.download(
                HTTPRequest(url: peer.url + "/bytes?n=1000", headers: [HTTPHeader("Range", "bytes=10-19")]),
                to: HTTPFileDestination(descriptor: file, offset: 5))
            #expect(!ignored.isWritten && ignored.status == 200 && ignored.errorBody.count == 1000)
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == data)

            let error = await #expect(throws: HTTPError.self) {
                try await transport.download(
                    HTTPRequest(url: peer.url + "/bytes?n=1000"),
                    to: HTTPFileDestination(descriptor: file, maximumLength: 999))
            }
            #expect(error?.code == .bodyTooLarge)
        }
    }

    /// The caller may close the file: nobody writes to its number, which may by then be another file's.
    @Test func aCancelledDownloadHasLetGoOfItsFile() async throws {
        try await withTemporaryFolder { folder in
            let file = open(folder + "/download", O_RDWR | O_CREAT, 0o600)
            defer { close(file) }
            let (begun, signal) = AsyncStream.makeStream(of: Void.self)
            let isCancelled = Atomic(false)
            let isWriting = Atomic(false)
            let url = peer.url + "/bytes?n=\(256 << 20)"
            let download = Task {
                try await transport.download(
                    HTTPRequest(url: url),
                    to: HTTPFileDestination(descriptor: file) { _ in
                        guard !isCancelled.load(ordering: .acquiring) else { return }
                        isWriting.store(true, ordering: .releasing)
                        signal.finish()
                        // Longer than a caller needs that is told too early.
                        while !isCancelled.load(ordering: .acquiring) { usleep(1_000) }
                        usleep(200_000)
                        isWriting.store(false, ordering: .releasing)
                    })
            }
            for await _ in begun {}
            download.cancel()
            isCancelled.store(true, ordering: .releasing)
            await #expect(throws: CancellationError.self) { try await download.value }
            let isStillWriting = isWriting.load(ordering: .acquiring)
            #expect(!isStillWriting)
        }
    }

    @Test func manyCallsShareFewConnections() async throws {
        let transport = makeTransport { $0.maximumConnectionsPerHost = 4 }
        let connections = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<200 {
                group.addTask {
                    try await transport.send(HTTPRequest(url: peer.url + "/e")).echo().connection
                }
            }
            return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
        }
        #expect(connections.count <= 4)
        await transport.close()
    }

    @Test func aClosedTransportSaysSo() async throws {
        let transport = makeTransport()
        let stalled = try await transport.send(HTTPRequest(url: peer.url + "/stall"))
        await transport.close()
        let error = await #expect(throws: HTTPError.self) { try await stalled.body.collect(upTo: 10_000) }
        #expect(error?.code == .closed)
        let later = await #expect(throws: HTTPError.self) { try await transport.send(HTTPRequest(url: peer.url)) }
        #expect(later?.code == .closed)
        await transport.close()
    }
}
