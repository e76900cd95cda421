import Foundation
import Synchronization
import Testing

@testable import HTTPTransport

/// One gibibyte each way in bounded memory.
@Suite(.serialized, .timeLimit(.minutes(4)))
struct LargeBodyTests {
    private static let size = 1 << 30
    /// Half of the body: the other tests of this process grow at the same time, by some 100 MB each.
    private static let allowance = 512 << 20

    /// The most this process grows while the closure runs.
    private func growth(_ body: () async throws -> Void) async throws -> Int {
        let before = try residentBytes()
        let peak = Mutex(before)
        let sampler = Task {
            while !Task.isCancelled {
                let now = try residentBytes()
                peak.withLock { $0 = max($0, now) }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        defer { sampler.cancel() }
        try await body()
        return peak.withLock { $0 } - before
    }

    @Test func aDownloadWithASlowReaderStaysSmall() async throws {
        let peer = try await Peer.shared()
        let transport = makeTransport()
        let growth = try await growth {
            let response = try await transport.send(HTTPRequest(url: peer.url + "/bytes?n=\(Self.size)"))
            var total = 0
            var chunks = 0
            for try await chunk in response.body {
                total += chunk.count
                chunks += 1
                if chunks % 100 == 0 { try await Task.sleep(for: .milliseconds(10)) }
            }
            #expect(total == Self.size)
        }
        #expect(growth < Self.allowance, "grew by \(growth >> 20) MiB")
        await transport.close()
    }

    @Test func aStreamedUploadStaysSmall() async throws {
        let peer = try await Peer.shared()
        let transport = makeTransport()
        let growth = try await growth {
            let response = try await transport.send(
                HTTPRequest(
                    method: "PUT", url: peer.url + "/e", headers: [HTTPHeader("X-Skip-Digest", "1")],
                    body: .stream(length: Int64(Self.size)) {
                        Chunks(count: 4096, chunk: [UInt8](repeating: 9, count: 256 << 10))
                    }))
            #expect(try await response.echo().size == Self.size)
        }
        #expect(growth < Self.allowance, "grew by \(growth >> 20) MiB")
        await transport.close()
    }

    @Test func filesGoUpAndDownWithoutPassingThroughMemory() async throws {
        let peer = try await Peer.shared()
        let transport = makeTransport()
        try await withTemporaryFolder { folder in
            let path = folder + "/large"
            let file = open(path, O_RDWR | O_CREAT, 0o600)
            defer { close(file) }
            let seen = Mutex(0)
            let growth = try await growth {
                let down = try await transport.download(
                    HTTPRequest(url: peer.url + "/bytes?n=\(Self.size)"),
                    to: HTTPFileDestination(descriptor: file) { bytes in seen.withLock { $0 += bytes.count } })
                #expect(down.bytesWritten == Self.size)
                let up = try await transport.send(
                    HTTPRequest(
                        method: "PUT", url: peer.url + "/e", headers: [HTTPHeader("X-Skip-Digest", "1")],
                        body: .file(path: path, offset: 0, length: Int64(Self.size))))
                #expect(try await up.echo().size == Self.size)
            }
            #expect(seen.withLock { $0 } == Self.size)
            #expect(growth < Self.allowance, "grew by \(growth >> 20) MiB")
        }
        await transport.close()
    }
}
