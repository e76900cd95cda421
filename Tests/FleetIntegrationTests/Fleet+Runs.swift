import ChildProcess
import Foundation
import Pipeline

/// A run as `martlet run show --output json` tells of it.
struct ShownRun: Decodable, Sendable {
    struct Task: Decodable, Sendable {
        struct Output: Decodable, Sendable {
            var values: JSONValue?
        }

        var stage: String
        var state: String
        var attempt: Int
        var losses: Int
        var failure: ShownFailure?
        var output: Output?
        var token: String?
        var worker: String?
    }

    struct Effect: Decodable, Sendable {
        var key: String
        var state: String
    }

    var id: String
    var state: String
    var reason: String?
    var eventID: String
    var tasks: [Task]
    var effects: [Effect]

    func task(_ stage: String) throws -> Task {
        guard let task = tasks.first(where: { $0.stage == stage }) else {
            throw Unexpected("there is no stage \(stage)")
        }
        return task
    }

    /// Nothing more happens by itself, in stages that run always either.
    var isOver: Bool {
        !["pending", "running"].contains(state)
            && tasks.allSatisfy { ["succeeded", "dead", "cancelled", "skipped"].contains($0.state) }
    }
}

struct ShownFailure: Decodable, Sendable {
    var `class`: String
    var code: String
    var message: String
}

/// What `martlet failed list --output json` tells.
struct ShownFailures: Decodable, Sendable {
    struct Task: Decodable, Sendable {
        var run: String
        var stage: String
        var attempt: Int
        var failure: ShownFailure?
    }

    struct Letter: Decodable, Sendable {
        var queue: String
        var reason: String
        var bodyBytes: Int
    }

    var tasks: [Task]
    var deadLetters: [Letter]
}

extension Fleet {
    private struct Published: Decodable {
        var run: String
    }

    private struct Line: Decodable {
        var id: String
    }

    /// Publishes an event and waits until it has become a run; the run's id.
    nonisolated func publish(_ pipeline: String, _ parameters: [String: String] = [:]) async throws -> String {
        let words = parameters.flatMap { ["--parameter", "\($0.key)=\($0.value)"] }
        return try await json(Published.self, ["event", "publish", pipeline, "--wait"] + words).run
    }

    /// Publishes bytes with pika, a client that knows nothing of Martlet, from the Python environment of the tests.
    nonisolated func publishForeign(_ body: [UInt8], times: Int = 1) async throws {
        let file = "\(folder)/message-\(UUID().uuidString)"
        try Data(body).write(to: URL(filePath: file))
        let python = try await PythonOfTests.shared.interpreter()
        let answer = try await command(
            python, [try script("publish.py"), "martlet.events", "dev.martlet.data.available.v1", file, "\(times)"])
        guard answer.status.isSuccess else { throw Unexpected("pika: \(answer.complaint)") }
    }

    nonisolated func show(_ run: String) async throws -> ShownRun {
        try await json(ShownRun.self, ["run", "show", run])
    }

    nonisolated func runs() async throws -> [String] {
        try await json([Line].self, ["run", "list", "--limit", "1000"]).map(\.id)
    }

    nonisolated func failures() async throws -> ShownFailures {
        try await json(ShownFailures.self, ["failed", "list", "--limit", "200"])
    }

    /// Waits until nothing more happens in a run. A ledger that is away is asked again.
    nonisolated func end(of run: String, within limit: Duration = .seconds(90)) async throws -> ShownRun {
        var last = ""
        do {
            return try await eventually("run \(run) is over", within: limit) {
                do {
                    let shown = try await show(run)
                    last = "\(shown.state): " + shown.tasks.map { "\($0.stage) \($0.state)" }.joined(separator: ", ")
                    return shown.isOver ? shown : nil
                } catch let error as Unexpected {
                    last = error.description
                    return nil
                }
            }
        } catch {
            throw Unexpected("\(error); it is \(last)")
        }
    }
}
