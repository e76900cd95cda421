import AMQPClient
import ArgumentParser
import Broker
import Configuration
import Coordination
import Foundation
import Ledger
import MLflowClient
import ObjectStorage
import Pipeline
import PostgresClient
import StageSupport

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Checks the settings against the live servers, and says the fix.",
        discussion: """
              martlet doctor
              martlet doctor --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    /// Variables that are no settings, but mean something to the scripts and to the search for Python.
    private static let otherVariables: Set<String> = [
        "MARTLET_PYTHON_PACKAGE", "MARTLET_SERVICES_ENV", "MARTLET_BUILD_PYTHON", "MARTLET_TORCH",
    ]

    private struct Finding: Encodable {
        var check: String
        var ok: Bool
        var detail: String
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let settings = try global.load()
            let services = Services(quiet: settings, name: "martlet doctor")
            var findings: [Finding] = []
            func check(_ name: String, _ body: () async throws -> String) async {
                do {
                    findings.append(Finding(check: name, ok: true, detail: try await body()))
                } catch {
                    findings.append(Finding(check: name, ok: false, detail: "\(error)"))
                }
            }
            await check("settings") {
                let odd = settings.unknownVariables.filter { !Self.otherVariables.contains($0.name) }.map {
                    $0.name + ($0.suggestion.map { " (\($0)?)" } ?? "")
                }
                guard odd.isEmpty else {
                    throw NotReady(
                        description:
                            "variables that mean nothing: \(odd.joined(separator: ", ")); correct or unset them")
                }
                return settings.file ?? "from the environment"
            }
            await check("pipelines") {
                let catalogue = try PipelineCatalogue(directory: settings.paths.pipelines)
                return catalogue.pipelines.keys.sorted().joined(separator: ", ")
            }
            await check("rabbitmq") {
                let broker = try services.broker()
                try await broker.client.connect(timeout: .seconds(5))
                let waiting = try await broker.waitingResults()
                await broker.client.close()
                return "connected; \(waiting) results wait"
            }
            await check("redis") {
                let workers = try await services.coordinator().workers()
                return "connected; \(workers.count) workers"
            }
            await check("postgresql") {
                let counts = try await services.ledger(connections: 1).counts()
                return "connected; \(counts.runsAlive) runs alive"
            }
            let transport = services.transport()
            await check("object store") {
                let storage = try services.storage(transport)
                guard try await storage.bucketExists(settings.s3.bucket) else {
                    throw NotReady(
                        description: "there is no bucket \(settings.s3.bucket): make it, or run `martlet up`")
                }
                let key = "doctor/\(UUID().uuidString)"
                _ = try await storage.put(Array("martlet".utf8), bucket: settings.s3.bucket, key: key)
                let back = try await storage.get(bucket: settings.s3.bucket, key: key, upTo: 100)
                try await storage.delete(bucket: settings.s3.bucket, key: key)
                guard back == Array("martlet".utf8) else {
                    throw NotReady(description: "what was written does not come back")
                }
                return "writes and reads bucket \(settings.s3.bucket)"
            }
            await check("mlflow") {
                let mlflow = try services.mlflow(transport)
                _ = try await mlflow.experiment(named: "martlet-doctor")
                return "answers"
            }
            await check("python") { try PythonEnvironments.stages(settings).interpreter }
            switch format.output {
            case .json: print(try JSONText.of(findings))
            case .table:
                for finding in findings { print("\(finding.ok ? "✓" : "✗") \(finding.check): \(finding.detail)") }
            }
            if findings.contains(where: { !$0.ok }) { throw ExitCodes.failed }
        }
    }
}
