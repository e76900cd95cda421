import Glibc
import Testing

@testable import MLflowClient

@Suite(.timeLimit(.minutes(4))) struct ArtifactTests {
    @Test func movesFilesThroughTheServer() async throws {
        try await Tracker.with { tracker async throws in
            let run = try await tracker.makeRun()
            let folder = "/tmp/martlet-artifacts-\(run.id)"
            #expect(mkdir(folder, 0o700) == 0)
            defer {
                for name in ["up", "down"] { unlink("\(folder)/\(name)") }
                rmdir(folder)
            }
            let bytes = (0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 8)) }
            let descriptor = open("\(folder)/up", O_WRONLY | O_CREAT, 0o600)
            #expect(bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == bytes.count)
            close(descriptor)
            let client = tracker.client
            try await client.uploadArtifact(run: run, path: "reports/evaluation ü+%.json", bytes: Array("{}".utf8))
            try await client.uploadArtifact(run: run, path: "model/big.bin", fromFile: "\(folder)/up")
            try await client.downloadArtifact(run: run, path: "model/big.bin", toFile: "\(folder)/down")
            let down = open("\(folder)/down", O_RDONLY)
            var read = [UInt8](repeating: 0, count: bytes.count + 1)
            var count = 0
            while case let more = read.withUnsafeMutableBytes({
                Glibc.read(down, $0.baseAddress?.advanced(by: count), $0.count - count)
            }), more > 0 { count += more }
            close(down)
            #expect(count == bytes.count && Array(read.dropLast()) == bytes)
            #expect(try await client.artifact(run: run, path: "reports/evaluation ü+%.json") == Array("{}".utf8))
            let root = try await client.artifacts(run: run)
            #expect(Set(root.map(\.path)) == ["reports", "model"])
            #expect(root.filter(\.isDirectory).count == 2)
            let model = try await client.artifacts(run: run, folder: "model")
            #expect(model == [MLflowArtifact(path: "model/big.bin", isDirectory: false, size: Int64(bytes.count))])
            #expect(try await client.artifacts(run: run, folder: "nothing").isEmpty)
            let missing = await #expect(throws: MLflowError.self) {
                try await client.downloadArtifact(run: run, path: "model/none", toFile: "\(folder)/none")
            }
            #expect(missing?.code == .notFound)
            #expect(missing?.isRetryable == false)
            #expect(access("\(folder)/none", F_OK) != 0)
            let local = await #expect(throws: MLflowError.self) {
                try await client.uploadArtifact(run: run, path: "x", fromFile: "\(folder)/none")
            }
            #expect(local?.code == .localFile)
        }
    }
}
