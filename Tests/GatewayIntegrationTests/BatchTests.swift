import Coordination
import HTTPTransport
import Ledger
import ObjectStorage
import Pipeline
import PostgresClient
import Synchronization
import TestPeers
import Testing

@testable import Batches
@testable import Gateway

/// Files and batches on the real ledger and the real object store.
@Suite(.serialized, .timeLimit(.minutes(6))) struct BatchTests {
    /// How often each content was asked for.
    private final class Asked: Sendable {
        private let counts = Mutex<[String: Int]>([:])

        var all: [String: Int] { counts.withLock { $0 } }

        /// A model server that repeats what it is asked, and waits where it is told to.
        func server(waits: @escaping @Sendable (String) async throws -> Void = { _ in })
            -> @Sendable (WirePeer) async throws -> Void
        {
            { peer in
                while true {
                    let (head, body) = try await peer.readRequest()
                    guard head.hasPrefix("POST") else {
                        try await peer.answer("{}")
                        continue
                    }
                    let request = try JSONValue(json: Array(body.utf8))
                    let content = request["messages"]?.arrayValue?.first?["content"]?.stringValue ?? ""
                    self.counts.withLock { $0[content, default: 0] += 1 }
                    try await waits(content)
                    // Spread over lines, as some servers write it.
                    try await peer.answer(
                        "{\"id\":\"1\",\n\"choices\":[{\"message\":{\"content\":\"re: \(content)\"}}],"
                            + "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}")
                }
            }
        }
    }

    @Test func aBatchIsAnsweredInItsOrderAndPaidFor() async throws {
        let asked = Asked()
        try await BatchBench.with { bench in
            try await ScriptedUpstream.with(asked.server()) { upstream in
                try await bench.gateway(port: upstream.port) { gateway in
                    let names = (0..<11).map { "line-\($0)" }
                    var lines = names.map { BatchBench.line($0, content: $0) }
                    lines.insert(BatchBench.line("lost", model: "unknown"), at: 5)
                    let file = try await bench.upload(gateway, lines.joined(separator: "\n"))
                    let id = try await bench.begin(gateway, file: file)
                    // One that never was is not waited for.
                    try await bench.working(gateway) {
                        let batch = try await bench.end(gateway, id)
                        #expect(batch["status"] == "completed", "\(batch)")
                        let counts = batch["request_counts"]
                        #expect(counts?["total"]?.intValue == 12 && counts?["completed"]?.intValue == 11)
                        #expect(counts?["failed"]?.intValue == 1)
                        #expect(batch["usage"]?["input_tokens"]?.intValue == 33)
                        #expect(batch["usage"]?["output_tokens"]?.intValue == 22)
                        // 3 tokens at 1 and 2 at 10 for a million, rounded up for each request.
                        #expect(batch["cost"]?.doubleValue == 11 * 0.000_023)
                        let output = try await bench.lines(gateway, batch["output_file_id"])
                        #expect(output.map { $0["custom_id"]?.stringValue } == names)
                        for (name, line) in zip(names, output) {
                            #expect(line["response"]?["status_code"]?.intValue == 200)
                            #expect(line["error"] == .null)
                            let message = line["response"]?["body"]?["choices"]?.arrayValue?.first?["message"]
                            #expect(message?["content"]?.stringValue == "re: \(name)")
                        }
                        let errors = try await bench.lines(gateway, batch["error_file_id"])
                        #expect(errors.map { $0["custom_id"]?.stringValue } == ["lost"])
                        #expect(errors.first?["response"]?["status_code"]?.intValue == 404)
                        #expect(asked.all.count == 11 && asked.all.values.allSatisfy { $0 == 1 })
                    }
                    // What it took is in the ledger as all use is.
                    try await eventually { try await bench.bench.used().requests >= 11 }
                    #expect(try await bench.bench.used().cost == 11 * 23)
                    // One that died before it had tidied up is followed by one that does.
                    try await bench.working(gateway) {
                        try await eventually {
                            var rest: [String] = []
                            for try await page in bench.storage.list(bucket: bench.bucket, prefix: "batches/parts/") {
                                rest += page.objects.map(\.key)
                            }
                            return rest.isEmpty
                        }
                    }
                    #expect(
                        try await bench.lines(gateway, .string(BatchStore.outputID(batch: id, isErrors: false))).count
                            == 11)
                }
            }
        }
    }

    @Test func filesAreTheTeamsOwn() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                let text = BatchBench.line("a") + "\n"
                let file = try await bench.upload(gateway, text)
                let told = try await bench.call(gateway, "GET", "/v1/files/\(file)").json()
                #expect(told["bytes"]?.intValue == Int64(text.utf8.count) && told["filename"] == "in.jsonl")
                #expect(told["purpose"] == "batch" && told["object"] == "file")
                #expect(try await bench.call(gateway, "GET", "/v1/files/\(file)/content").text == text)
                for (method, path) in [
                    ("GET", "/v1/files/\(file)"), ("GET", "/v1/files/\(file)/content"), ("DELETE", "/v1/files/\(file)"),
                ] {
                    #expect(try await bench.call(gateway, method, path, key: "bob").status == 404)
                }
                let begun = try await bench.call(
                    gateway, "POST", "/v1/batches", key: "bob",
                    body:
                        #"{"input_file_id":"\#(file)","endpoint":"/v1/completions","completion_window":"24h"}"#)
                #expect(begun.status == 400 && begun.text.contains("invalid_file"))
                #expect(try await bench.call(gateway, "GET", "/v1/files", key: "bob").json()["data"] == .array([]))
                let batch = try await bench.begin(gateway, file: file)
                #expect(try await bench.call(gateway, "GET", "/v1/batches/\(batch)", key: "bob").status == 404)
                let refused = try await bench.call(gateway, "DELETE", "/v1/files/\(file)")
                #expect(refused.status == 409 && refused.text.contains(batch))
                #expect(try await bench.call(gateway, "POST", "/v1/batches/\(batch)/cancel").status == 200)
                try await bench.working(gateway) { _ = try await bench.end(gateway, batch) }
                #expect(try await bench.call(gateway, "DELETE", "/v1/files/\(file)").json()["deleted"] == .bool(true))
                #expect(try await bench.call(gateway, "GET", "/v1/files/\(file)/content").status == 404)
                #expect(try await bench.storage.head(bucket: bench.bucket, key: "batches/files/\(file)") == nil)
                #expect(try await bench.call(gateway, "GET", "/v1/files", key: "nobody").status == 401)
            }
        }
    }

    @Test func listsComeInPages() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                var files: [String] = []
                for index in 0..<3 { files.append(try await bench.upload(gateway, BatchBench.line("\(index)"))) }
                let first = try await bench.call(gateway, "GET", "/v1/files?limit=2&purpose=batch").json()
                #expect(first["has_more"] == .bool(true) && first["first_id"]?.stringValue == files[2])
                #expect(first["data"]?.arrayValue?.compactMap { $0["id"]?.stringValue } == [files[2], files[1]])
                let next = try await bench.call(gateway, "GET", "/v1/files?limit=2&after=\(files[1])").json()
                #expect(next["has_more"] == .bool(false))
                #expect(next["data"]?.arrayValue?.compactMap { $0["id"]?.stringValue } == [files[0]])
                var batches: [String] = []
                for file in files { batches.append(try await bench.begin(gateway, file: file)) }
                let page = try await bench.call(gateway, "GET", "/v1/batches?limit=1&after=\(batches[2])").json()
                #expect(page["has_more"] == .bool(true) && page["last_id"]?.stringValue == batches[1])
                #expect(try await bench.call(gateway, "GET", "/v1/batches?limit=0").status == 400)
            }
        }
    }

    @Test func aFileThatIsNoBatchIsToldWithItsLines() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                // PostgreSQL has no NUL.
                let name = #"a\u0000"#
                let file = try await bench.upload(gateway, BatchBench.line(name) + "\n{\n" + BatchBench.line(name))
                let id = try await bench.begin(gateway, file: file)
                try await bench.working(gateway) {
                    let batch = try await bench.end(gateway, id)
                    #expect(batch["status"] == "failed")
                    let faults = batch["errors"]?["data"]?.arrayValue ?? []
                    #expect(faults.map { $0["line"]?.intValue } == [2, 3])
                    #expect(faults.map { $0["code"]?.stringValue } == ["invalid_json_line", "duplicate_custom_id"])
                }
            }
        }
    }

    private static let refusals:
        [(method: String, path: String, type: String, body: String, status: Int, code: String)] =
            [
                ("POST", "/v1/files", "text/plain", "x", 415, "not_a_form"),
                ("POST", "/v1/files", "multipart/form-data; boundary=x", "--x--\r\n", 400, "invalid_purpose"),
                ("POST", "/v1/files", "multipart/form-data; boundary=x", "--x\r\n", 400, "malformed_form"),
                ("POST", "/v1/batches", "application/json", "[", 400, "invalid_body"),
                ("POST", "/v1/batches", "application/json", #"{"x":1}"#, 400, "unknown_parameter"),
                ("POST", "/v1/batches", "application/json", #"{"input_file_id":"f"}"#, 400, "invalid_endpoint"),
                ("POST", "/v1/batches", "application/json", #"{"input_file_id":"f\u0000"}"#, 400, "missing_parameter"),
                (
                    "POST", "/v1/batches", "application/json",
                    #"{"input_file_id":"f","endpoint":"/v1/completions","completion_window":"24h","metadata":{"a":"\u0000"}}"#,
                    400, "invalid_metadata"
                ),
                ("DELETE", "/v1/batches", "application/json", "", 405, "method_not_allowed"),
                ("GET", "/v1/batches/batch_x", "application/json", "", 404, "not_found"),
                ("GET", "/v1/files/a/b", "application/json", "", 404, "unknown_path"),
            ]

    @Test func whatCannotBeIsRefused() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                for refusal in Self.refusals {
                    let answer = try await bench.call(
                        gateway, refusal.method, refusal.path, type: refusal.type,
                        body: refusal.method == "POST" ? refusal.body : nil)
                    #expect(answer.status == refusal.status, "\(refusal)")
                    #expect(try answer.json()["error"]?["code"]?.stringValue == refusal.code, "\(refusal)")
                }
                var objects = 0
                for try await page in bench.storage.list(bucket: bench.bucket, prefix: "batches/") {
                    objects += page.objects.count
                }
                #expect(objects == 0)
            }
        }
    }

    /// Who dies in the middle leaves parts that another takes over; what the dead one still says counts for nothing.
    @Test func anotherGatewayGoesOnAfterADeath() async throws {
        let asked = Asked()
        try await BatchBench.with { bench in
            try await ScriptedUpstream.with(asked.server()) { upstream in
                try await bench.gateway(port: upstream.port) { gateway in
                    let names = (0..<20).map { "n\($0)" }
                    let file = try await bench.upload(
                        gateway, names.map { BatchBench.line($0, content: $0) }.joined(separator: "\n"))
                    let id = try await bench.begin(gateway, file: file)
                    let ledger = bench.bench.ledger
                    // One that checks the file and dies; then one that begins a part and dies.
                    let dead = try #require(try await ledger.claimBatch(holder: "dead", seconds: 1))
                    #expect(dead.id == id)
                    var lost: HeldPart?
                    try await bench.working(gateway) {
                        $0.requests = 1
                    } _: {
                        try await eventually {
                            lost = try await ledger.claimPart(holder: "dead", seconds: 1)
                            return lost != nil
                        }
                        let batch = try await bench.end(gateway, id)
                        #expect(batch["status"] == "completed")
                        let output = try await bench.lines(gateway, batch["output_file_id"])
                        #expect(output.compactMap { $0["custom_id"]?.stringValue } == names)
                        #expect(batch["request_counts"]?["completed"]?.intValue == 20)
                    }
                    let held = try #require(lost)
                    var sum = Batch.Sum()
                    sum.completed = 4
                    await #expect(throws: (any Error).self) {
                        try await ledger.finishPart(held, holder: "dead", sum: sum, hasOutput: true, hasErrors: false)
                    }
                    #expect(try await ledger.batch(id, team: nil)?.sum.completed == 20)
                }
            }
        }
    }

    /// A model whose servers are not there yet is no unknown one: a gateway that has just started knows others only.
    @Test func aModelThatWasServedIsWaitedFor() async throws {
        let asked = Asked()
        try await BatchBench.with { bench in
            try await ScriptedUpstream.with(asked.server()) { upstream in
                try await bench.gateway(port: upstream.port) { gateway in
                    let group = UsageLine.Group(hour: 1, key: 1, model: "late", version: "1")
                    var sum = UsageLine.Sum()
                    sum.requests = 1
                    try await bench.bench.ledger.addUsage([UsageLine(group: group, sum: sum)], journal: "j", batch: 1)
                    let lines = ["late", "late@staging"].enumerated().map { BatchBench.line("l\($0)", model: $1) }
                    let file = try await bench.upload(gateway, lines.joined(separator: "\n"))
                    let id = try await bench.begin(gateway, file: file)
                    try await bench.working(gateway) {
                        try await eventually { gateway.core.metrics.refusalReasons.contains("model_not_found") }
                        try await bench.bench.coordinator.announce(
                            ReplicaRecord(
                                id: "late", model: "late", version: "1", aliases: ["champion", "staging"],
                                host: "127.0.0.1", port: upstream.port, servedName: "late", maximumInFlight: 8,
                                state: .ready, since: 0))
                        let batch = try await bench.end(gateway, id)
                        #expect(batch["request_counts"]?["completed"]?.intValue == 2, "\(batch)")
                    }
                }
            }
        }
    }

    /// One whose model has no room rests, with all of its parts: the others have their turn.
    @Test func aBatchThatRestsHoldsUpNoOther() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                let ledger = bench.bench.ledger
                var ids: [String] = []
                for name in ["first", "second"] {
                    let lines = (0..<12).map { BatchBench.line("\(name)-\($0)") }
                    let file = try await bench.upload(gateway, lines.joined(separator: "\n"))
                    let id = try await bench.begin(gateway, file: file)
                    let claimed = try #require(try await ledger.claimBatch(holder: "g", seconds: 30))
                    #expect(claimed.id == id)
                    let parts = (0..<3).map {
                        BatchPart(number: $0, offset: 0, bytes: 1, firstLine: 4 * $0, lines: 4)
                    }
                    #expect(try await ledger.beginBatch(id, holder: "g", parts: parts))
                    ids.append(id)
                }
                func claim() async throws -> HeldPart? { try await ledger.claimPart(holder: "g", seconds: 30) }
                let first = try #require(try await claim())
                #expect(first.batch.id == ids[0] && first.part.number == 0)
                try await ledger.releasePart(first, holder: "g", after: 600)
                var claimed: [(String, Int)] = []
                while let part = try await claim() { claimed.append((part.batch.id, part.part.number)) }
                #expect(claimed.map(\.0) == Array(repeating: ids[1], count: 3) && claimed.map(\.1) == [0, 1, 2])
            }
        }
    }

    /// A part belongs to whoever began it last, also where both have one name; and a batch that is over takes nothing more.
    @Test func aPartThatWasBegunAgainTakesTheLaterOnesWord() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                let ledger = bench.bench.ledger
                let file = try await bench.upload(gateway, BatchBench.line("a"))
                let id = try await bench.begin(gateway, file: file)
                _ = try #require(try await ledger.claimBatch(holder: "g", seconds: 30))
                let part = BatchPart(number: 0, offset: 0, bytes: 10, firstLine: 1, lines: 1)
                #expect(try await ledger.beginBatch(id, holder: "g", parts: [part]))
                let first = try #require(try await ledger.claimPart(holder: "g", seconds: 0))
                var second: HeldPart?
                try await eventually {
                    second = try await ledger.claimPart(holder: "g", seconds: 30)
                    return second != nil
                }
                let later = try #require(second)
                #expect(first.attempt == 1 && later.attempt == 2)
                var sum = Batch.Sum()
                sum.completed = 1
                #expect(try await ledger.holdPart(first, holder: "g", seconds: 30) == .lost)
                #expect(try await ledger.holdPart(later, holder: "g", seconds: 30) == .held)
                await #expect(throws: Ledger.PartLost.self) {
                    try await ledger.finishPart(first, holder: "g", sum: sum, hasOutput: true, hasErrors: false)
                }
                try await ledger.finishPart(later, holder: "g", sum: sum, hasOutput: true, hasErrors: false)
                let batch = try #require(try await ledger.batch(id, team: nil))
                #expect(batch.status == .finalizing && batch.sum.completed == 1)
                #expect(try await ledger.claimBatch(holder: "h", seconds: 30) != nil)
                #expect(try await ledger.endBatch(id, holder: "h", status: .completed))
                await #expect(throws: Ledger.PartLost.self) {
                    try await ledger.finishPart(later, holder: "g", sum: sum, hasOutput: true, hasErrors: false)
                }
            }
        }
    }

    @Test(arguments: ["cancelled", "expired"]) func whatWasAnsweredIsKept(how: String) async throws {
        let asked = Asked()
        let hangs = asked.server { content in
            if content == "hang" { try await Task.sleep(for: .seconds(600)) }
        }
        try await BatchBench.with { bench in
            try await ScriptedUpstream.with(hangs) { upstream in
                try await bench.gateway(port: upstream.port) { gateway in
                    // Two whole parts, one of which half hangs, and one behind it that is never begun.
                    let lines = (0..<16).map {
                        BatchBench.line("l\($0)", content: (10..<16).contains($0) ? "hang" : "x\($0)")
                    }
                    let file = try await bench.upload(gateway, lines.joined(separator: "\n"))
                    let id = try await bench.begin(gateway, file: file)
                    try await bench.working(gateway) {
                        try await eventually {
                            try await bench.bench.ledger.batch(id, team: nil)?.sum.completed == 8
                                && asked.all["x9"] == 1 && asked.all["hang"] != nil
                        }
                        if how == "expired" {
                            try await bench.bench.postgres.query(
                                "UPDATE martlet.batches SET expires_at = clock_timestamp() WHERE id = $1", [.text(id)])
                        } else {
                            let answer = try await bench.call(gateway, "POST", "/v1/batches/\(id)/cancel")
                            #expect(try answer.json()["status"] == "cancelling")
                            let again = try await bench.call(gateway, "POST", "/v1/batches/\(id)/cancel")
                            #expect(again.status == 409)
                        }
                        let batch = try await bench.end(gateway, id)
                        #expect(batch["status"]?.stringValue == how)
                        #expect(batch["request_counts"]?["failed"]?.intValue == 6)
                        #expect(batch["request_counts"]?["completed"]?.intValue == 10)
                        let output = try await bench.lines(gateway, batch["output_file_id"])
                        #expect(output.compactMap { $0["custom_id"]?.stringValue } == (0..<10).map { "l\($0)" })
                        let errors = try await bench.lines(gateway, batch["error_file_id"])
                        #expect(errors.compactMap { $0["custom_id"]?.stringValue } == (10..<16).map { "l\($0)" })
                        // Nobody asks again for what was paid.
                        #expect(asked.all.allSatisfy { $0.key == "hang" || $0.value == 1 }, "\(asked.all)")
                        #expect(errors.allSatisfy { $0["error"]?["code"]?.stringValue == "batch_\(how)" })
                    }
                }
            }
        }
    }

    /// A client that goes in mid-upload leaves nothing behind, and one that sends too much is told.
    @Test func anUploadThatIsCutLeavesNothing() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(
                        "POST /v1/files HTTP/1.1\r\nhost: h\r\nauthorization: Bearer alice\r\n"
                            + "content-type: multipart/form-data; boundary=x\r\ncontent-length: 1000000\r\n\r\n"
                            + "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhalf")
                }
                try await WirePeer.connect(port: gateway.port) { client in
                    try await client.send(
                        "POST /v1/files HTTP/1.1\r\nhost: h\r\nauthorization: Bearer alice\r\n"
                            + "content-type: multipart/form-data; boundary=x\r\ncontent-length: 999999999999\r\n\r\n")
                    let (head, _) = try await client.readResponse()
                    #expect(head.hasPrefix("HTTP/1.1 413"))
                }
                // A whole one, on a connection that goes on afterwards.
                let file = try await bench.upload(gateway, BatchBench.line("a"))
                var keys: [String] = []
                for try await page in bench.storage.list(bucket: bench.bucket, prefix: "batches/") {
                    keys += page.objects.map(\.key)
                }
                #expect(keys == ["batches/files/\(file)"])
            }
        }
    }

    /// The pass by which the gateway knows its own requests is of no use to anybody else.
    @Test func nobodyElseIsABatch() async throws {
        try await BatchBench.with { bench in
            try await bench.gateway(port: nil) { gateway in
                let real = gateway.batchAuthorization(key: 1)
                for pass in ["Batch .1", "Batch " + String(repeating: "0", count: 64) + ".1", real + "999"] {
                    let response = try await bench.transport.send(
                        HTTPRequest(
                            method: "GET", url: gateway.url + "/v1/models",
                            headers: [HTTPHeader("authorization", pass)], retry: .none, proxy: .direct))
                    #expect(response.status == 401)
                }
            }
        }
    }
}
