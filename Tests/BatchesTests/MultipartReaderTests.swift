import Synchronization
import Testing

@testable import Batches

/// Forms as clients send them, cut anywhere.
@Suite(.timeLimit(.minutes(4))) struct MultipartReaderTests {
    /// Pieces of a text, each of so many bytes.
    private static func source(_ text: String, size: Int) -> @Sendable () async throws -> [UInt8]? {
        let rest = Mutex(Array(text.utf8)[...])
        return {
            rest.withLock { rest in
                guard !rest.isEmpty else { return nil }
                defer { rest = rest.dropFirst(size) }
                return Array(rest.prefix(size))
            }
        }
    }

    private static func read(_ text: String, size: Int) async throws -> [String] {
        let reader = MultipartReader(boundary: "b0", source: source(text, size: size))
        var read: [String] = []
        while let part = try await reader.nextPart() {
            read.append("\(part.name)|\(part.filename ?? "-")|\(try await reader.text(upTo: 1_000))")
        }
        return read
    }

    private static let form =
        "--b0\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
        + "--b0\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".jsonl\"\r\n"
        + "Content-Type: application/octet-stream\r\n\r\nline\r\n--b\r\n--b0x\n\r\n"
        + "--b0\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--b0--\r\n"

    @Test(arguments: [1, 2, 3, 7, 16, 64, 10_000]) func everyCutIsRead(size: Int) async throws {
        // A delimiter with more behind it still ends a part: boundaries are chosen not to occur (RFC 2046 §5.1.1).
        let form = Self.form.replacing("--b0x", with: "--c0x")
        #expect(
            try await Self.read(form, size: size) == [
                "purpose|-|batch", "file|a \"b\".jsonl|line\r\n--b\r\n--c0x\n", "empty|-|",
            ])
    }

    @Test(arguments: [1, 5, 10_000]) func partsThatNobodyReadsArePassedOver(size: Int) async throws {
        let form = Self.form.replacing("--b0x", with: "")
        let reader = MultipartReader(boundary: "b0", source: Self.source(form, size: size))
        var names: [String] = []
        while let part = try await reader.nextPart() { names.append(part.name) }
        #expect(names == ["purpose", "file", "empty"])
    }

    @Test(arguments: [
        "", "--b0", "--b0\r\n", "--b0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx",
        "--b0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b",
    ]) func aFormThatIsCutIsSaidToBe(text: String) async throws {
        for size in [1, 100] {
            await #expect(throws: MultipartFault.self) { try await Self.read(text, size: size) }
        }
    }

    @Test func headsAreBounded() async throws {
        let form = "--b0\r\nx: \(String(repeating: "y", count: 20_000))\r\n\r\nz\r\n--b0--"
        await #expect(throws: MultipartFault.self) { try await Self.read(form, size: 100) }
    }

    @Test func aPartWithoutANameIsRefused() async throws {
        await #expect(throws: MultipartFault.self) { try await Self.read("--b0\r\nx: y\r\n\r\nz\r\n--b0--", size: 9) }
    }

    @Test(arguments: [
        ("multipart/form-data; boundary=abc", "abc"), ("Multipart/Form-Data; charset=x; Boundary=\"a b\"", "a b"),
        ("multipart/form-data", nil), ("application/json; boundary=a", nil), ("multipart/form-data; boundary=", nil),
    ]) func theTypeNamesTheBoundary(type: String, boundary: String?) {
        #expect(MultipartReader.boundary(in: type) == boundary)
    }
}
