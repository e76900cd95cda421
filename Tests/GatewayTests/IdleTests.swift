import ChildProcess
import Foundation
import Glibc
import TestPeers
import Testing

@testable import Gateway

/// Clients that are there and ask nothing.
@Suite(.timeLimit(.minutes(5))) struct IdleTests {
    /// Opens so many connections, asks on each of them, and holds them until it is told; then tells how many are open.
    private static let clients = """
        import select, signal, socket, sys
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        port, count = int(sys.argv[1]), int(sys.argv[2])
        held = []
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"GET /health HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
            held.append(client)
        for client in held:
            assert client.recv(1024).startswith(b"HTTP/1.1 200 ")
        print("ready", flush=True)
        signal.sigwait([signal.SIGUSR1])
        poll = select.poll()
        for client in held:
            poll.register(client, select.POLLIN)
        print(count - len(poll.poll(0)), flush=True)
        """

    @Test func tenThousandIdleConnectionsHinderNobody() async throws {
        var files = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0)
        files.rlim_cur = files.rlim_max
        #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0)
        // Both sides of each count, on machines that allow few; other tests run beside.
        let count = min(10_000, (Int(clamping: files.rlim_cur) - 2_000))
        try #require(count > 500, "the limit of open files (ulimit -Hn) is \(files.rlim_cur): too low for this test")
        if count < 10_000 {
            print("tenThousandIdleConnectionsHinderNobody: only \(count), as ulimit -Hn is \(files.rlim_cur) here")
        }
        try await ScriptedUpstream.with { peer in
            while true {
                _ = try await peer.readRequest()
                try await peer.answer(TestGateway.answer)
            }
        } _: { upstream in
            try await TestGateway.with(upstreams: [upstream.port]) { gateway in
                let child = try ChildProcess.spawn(
                    "/usr/bin/env", arguments: ["python3", "-c", Self.clients, "\(gateway.port)", "\(count)"],
                    environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"],
                    stdout: .pipe)
                var lines = try #require(child.stdoutLines).makeAsyncIterator()
                #expect(await lines.next()?.text == "ready")
                for index in 0..<20 {
                    try await WirePeer.connect(port: gateway.port) { client in
                        try await client.send(TestGateway.request(#"{"model":"m","prompt":"\#(index)"}"#))
                        #expect(try await client.readResponse().body == TestGateway.answer)
                    }
                }
                child.signal(SIGUSR1)
                #expect(await lines.next()?.text == "\(count)")
                #expect(await child.wait().isSuccess)
            }
        }
    }
}
