import AMQPClient
import Broker
import Configuration
import Coordination
import Foundation
import HTTPTransport
import Ledger
import MLflowClient
import NotifyStage
import ObjectStorage
import Pipeline
import StageSupport

/// Holds the settings of a process against the world.
struct Doctor {
    /// What one check found.
    struct Finding: Encodable {
        var check: String
        var ok: Bool
        var detail: String
        /// What to do; nil when there is nothing to do.
        var fix: String?

        /// `fix` is there in every case: null where there is nothing to do.
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(check, forKey: .check)
            try container.encode(ok, forKey: .ok)
            try container.encode(detail, forKey: .detail)
            try container.encode(fix, forKey: .fix)
        }

        private enum CodingKeys: String, CodingKey {
            case check, ok, detail, fix
        }
    }

    /// What is fine, perhaps with something to better.
    struct Remark {
        var detail: String
        var fix: String?

        init(_ detail: String, fix: String? = nil) {
            self.detail = detail
            self.fix = fix
        }
    }

    /// What is wrong, with a better fix than the check's usual one.
    struct Complaint: Error, CustomStringConvertible {
        let description: String
        var fix: String?

        init(_ description: String, fix: String? = nil) {
            self.description = description
            self.fix = fix
        }
    }

    let settings: MartletConfiguration
    let services: Services
    let transport: HTTPTransport

    init(_ settings: MartletConfiguration) {
        self.settings = settings
        services = Services(quiet: settings, name: "martlet doctor")
        transport = services.transport()
    }

    /// Makes every check, each whatever the others find.
    func examine() async -> [Finding] {
        var findings: [Finding] = []
        func check(_ name: String, fix: String, _ body: () async throws -> Remark) async {
            do {
                let remark = try await body()
                findings.append(Finding(check: name, ok: true, detail: remark.detail, fix: remark.fix))
            } catch {
                let better = (error as? Complaint)?.fix
                findings.append(Finding(check: name, ok: false, detail: "\(error)", fix: better ?? fix))
            }
        }
        await check("settings", fix: "correct or unset them", variables)
        await check("pipelines", fix: "correct the file; `martlet pipeline check` tells every problem", pipelines)
        await check("state", fix: "set MARTLET_STATE to a folder with room that this user may write to", state)
        await check("http.address", fix: "set MARTLET_HTTP to another address, or to port 0 for any free one", address)
        await check("ingest.file_roots", fix: "make the folder readable, or correct ingest.file_roots", fileRoots)
        await check("rabbitmq", fix: "start the stack with `martlet up`, or correct MARTLET_AMQP_URL", rabbitMQ)
        await check("rabbitmq alarms", fix: "free memory or disk space of the broker's machine", alarms)
        await check("scheduler", fix: "start one: `martlet up`, or `martlet scheduler`", scheduler)
        await check("redis", fix: "start the stack with `martlet up`, or correct MARTLET_REDIS_URL") {
            Remark("connected; \(try await services.coordinator().workers().count) workers")
        }
        await check("postgresql", fix: "start the stack with `martlet up`, or correct MARTLET_POSTGRES_URL") {
            Remark("connected; \(try await services.ledger(connections: 1).counts().runsAlive) runs alive")
        }
        await check("object store", fix: "start the stack with `martlet up`, or correct the settings under s3", store)
        await check("base models", fix: "the object store must answer first", baseModels)
        await check("mlflow", fix: "start the stack with `martlet up`, or correct MARTLET_MLFLOW_URL") {
            _ = try await services.mlflow(transport).experiment(named: "martlet-doctor")
            return Remark("answers")
        }
        await check("python", fix: "build it with deploy/python/env.sh stages", python)
        for receiver in Receivers.from(settings) {
            await check("notify \(receiver.name)", fix: "correct it under notify in the settings") {
                try await reach(receiver)
            }
        }
        return findings
    }

    // MARK: Settings and files

    /// Variables that are no settings, but mean something to the scripts and to the search for Python.
    private static let otherVariables: Set<String> = [
        "MARTLET_PYTHON_PACKAGE", "MARTLET_SERVICES_ENV", "MARTLET_BUILD_PYTHON", "MARTLET_TORCH",
    ]

    private func variables() throws -> Remark {
        let odd = settings.unknownVariables.filter { !Self.otherVariables.contains($0.name) }.map {
            $0.name + ($0.suggestion.map { " (\($0)?)" } ?? "")
        }
        guard odd.isEmpty else { throw Complaint("variables that mean nothing: \(odd.joined(separator: ", "))") }
        return Remark(settings.file ?? "from the environment")
    }

    private func pipelines() throws -> Remark {
        let catalogue = try PipelineCatalogue(directory: settings.paths.pipelines)
        return Remark(catalogue.pipelines.keys.sorted().joined(separator: ", "))
    }

    // MARK: RabbitMQ

    private func withBroker<Value>(_ body: (Broker) async throws -> Value) async throws -> Value {
        let broker = try services.broker()
        do {
            try await broker.client.connect(timeout: .seconds(5))
            let value = try await body(broker)
            await broker.client.close()
            return value
        } catch {
            await broker.client.close()
            throw error
        }
    }

    private func rabbitMQ() async throws -> Remark {
        try await withBroker { Remark("connected; \(try await $0.waitingResults()) results wait") }
    }

    /// Every scheduler subscribes to the events' queue for as long as it lives.
    private func scheduler() async throws -> Remark {
        try await withBroker { broker in
            // Of a quorum queue whose leader is slow to answer RabbitMQ says that it has none.
            var count = 0
            for attempt in 0..<3 where count == 0 {
                if attempt > 0 { try await Task.sleep(for: .milliseconds(300)) }
                count = try await broker.client.queueStatus(Topology.eventsQueue)?.consumers ?? 0
            }
            guard count > 0 else { throw Complaint("none takes events, so no run begins or goes on") }
            return Remark("\(count) \(count == 1 ? "takes" : "take") events")
        }
    }

    /// While an alarm is on, the broker takes no publications (https://www.rabbitmq.com/docs/alarms).
    private func alarms() async throws -> Remark {
        guard let url = settings.amqpManagement, let parts = URLComponents(string: url.value) else {
            return Remark("not asked for", fix: "set MARTLET_AMQP_MANAGEMENT_URL to have them checked")
        }
        var bare = parts
        (bare.user, bare.password) = (nil, nil)
        bare.path += (bare.path.hasSuffix("/") ? "" : "/") + "api/health/checks/alarms"
        let login = Data("\(parts.user ?? ""):\(parts.password ?? "")".utf8).base64EncodedString()
        let response = try await transport.send(
            HTTPRequest(
                url: bare.string ?? url.value, headers: [HTTPHeader("Authorization", "Basic " + login)],
                timeouts: Self.timeouts))
        let answer = String(decoding: try await response.body.collect(upTo: 64 << 10), as: UTF8.self)
        switch response.status {
        case 200: return Remark("none")
        case 503: throw Complaint("the broker takes no publications: \(answer.cut(to: 300))")
        default:
            throw Complaint("HTTP \(response.status) from \(url)", fix: "correct MARTLET_AMQP_MANAGEMENT_URL")
        }
    }

    static let timeouts = HTTPTimeouts(
        connect: .seconds(5), firstByte: .seconds(5), idle: .seconds(5), total: .seconds(10))

    // MARK: Object store

    private func store() async throws -> Remark {
        let storage = try services.storage(transport)
        guard try await storage.bucketExists(settings.s3.bucket) else {
            throw Complaint("there is no bucket \(settings.s3.bucket)", fix: "make it, or run `martlet up`")
        }
        let key = "doctor/\(UUID().uuidString)"
        _ = try await storage.put(Array("martlet".utf8), bucket: settings.s3.bucket, key: key)
        let back = try await storage.get(bucket: settings.s3.bucket, key: key, upTo: 100)
        try await storage.delete(bucket: settings.s3.bucket, key: key)
        guard back == Array("martlet".utf8) else { throw Complaint("what was written does not come back") }
        return Remark("writes and reads bucket \(settings.s3.bucket)")
    }

    private func baseModels() async throws -> Remark {
        let wanted = try PipelineCatalogue.load(directory: settings.paths.pipelines).catalogue.baseModels
        let known = Set(
            try await BaseModels(storage: try services.storage(transport), bucket: settings.s3.bucket).list().map(
                \.name))
        let missing = wanted.filter { !known.contains($0.key) }.sorted { $0.key < $1.key }
        let words = missing.map { "\($0.key) (\($0.value.joined(separator: ", ")))" }.joined(separator: ", ")
        let imports = "`martlet model import NAME …`"
        // A pipeline that nobody runs needs no model; when all lack theirs, nothing can be trained.
        guard missing.isEmpty || missing.count < wanted.count else {
            throw Complaint("not in the object store: \(words)", fix: "import what is to be used: \(imports)")
        }
        let present = wanted.keys.filter(known.contains).sorted().joined(separator: ", ")
        guard !missing.isEmpty else { return Remark(present.isEmpty ? "no pipeline needs one" : present) }
        return Remark("\(present); not there: \(words)", fix: "before these pipelines run: \(imports)")
    }
}
