import Foundation
import Ledger
import MLflowClient
import ObjectStorage
import Pipeline
import RegisterStage
import Testing

@testable import StageSupport
@testable import WorkerRuntime

/// One version per run, whatever is delivered again, replayed or killed; aliases forwards only.
@Suite struct RegisterTests {
    /// A trained model and its evaluation, as the stages before leave them.
    private func inputs(
        _ bench: Workbench, run: RunID, accepted: Bool = true, weights: String = "weights"
    ) async throws -> [String: StageOutput] {
        let folder = bench.folder + "/model-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder + "/merged", withIntermediateDirectories: true)
        try Data((weights + run.description).utf8).write(to: URL(fileURLWithPath: folder + "/merged/model.safetensors"))
        let location = try await ArtifactStore(client: bench.storage, bucket: bench.bucket)
            .publish(directory: folder, prefix: "runs/\(run)/train/\(UUID().uuidString)")
        let digest = Digest.sha256(weights)
        let decision = GateDecision(
            isAccepted: accepted,
            results: [
                GateResult(
                    rule: "perplexity", metric: "perplexity", comparison: .atMost, observed: 12, threshold: 20,
                    margin: 8, status: accepted ? .passed : .failed, explanation: "perplexity 12 against 20")
            ])
        return [
            "train": StageOutput(
                artifacts: ManifestReference(bucket: location.bucket, key: location.key, sha256: location.sha256),
                values: [
                    "type": "model", "base_model": "tiny", "base_model_digest": "ba5e", "dataset_digest": "da7a",
                    "code_version": "0.1.0+c0de",
                ], digest: digest),
            "evaluate": StageOutput(
                values: [
                    "type": "evaluation", "model_digest": .string(digest), GateDecision.outputKey: decision.json,
                    "metrics": ["candidate": ["perplexity": 12.5, "loss": 2.5], "base": ["perplexity": 40.0]],
                ]),
        ]
    }

    private func register(
        _ bench: Workbench, _ ledger: Ledger, _ mlflow: MLflowClient, run: RunID, _ inputs: [String: StageOutput],
        promote: Bool = true, rollout: JSONValue = .null
    ) async throws -> (output: StageOutput, log: String) {
        let context = bench.context(
            "register", run: run,
            parameters: ["model_name": .string(bench.name), "promote": .bool(promote), "rollout": rollout],
            inputs: inputs)
        let result = try await RegisterHandler(mlflow: mlflow, ledger: ledger).run(context)
        return (try #require(result.output), context.log.text)
    }

    private func with(_ body: @Sendable (Workbench, Ledger, MLflowClient) async throws -> Void) async throws {
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow()
            try await bench.withLedger { ledger in try await body(bench, ledger, mlflow) }
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aVersionSaysWhereItComesFrom() async throws {
        try await with { bench, ledger, mlflow in
            let run = try await bench.acceptedRun(ledger)
            let inputs = try await inputs(bench, run: run)
            let (output, _) = try await register(bench, ledger, mlflow, run: run, inputs)
            #expect(output.values["version"]?.stringValue == "1")
            #expect(output.values["aliases"] == ["challenger", "champion"])
            let version = try #require(try await mlflow.modelVersion(name: bench.name, alias: "champion"))
            #expect(version.tags[Lineage.run] == run.description)
            #expect(version.tags[Lineage.datasetDigest] == "da7a")
            #expect(version.tags[Lineage.baseModel] == "tiny")
            #expect(version.tags[Lineage.baseModelDigest] == "ba5e")
            #expect(version.tags[Lineage.codeVersion] == "0.1.0+c0de")
            #expect(version.tags[Lineage.modelDigest] == inputs["train"]?.digest)
            #expect(version.tags[Lineage.metricPrefix + "perplexity"] == "12.5")
            #expect(Lineage.artifacts(of: version.tags) == inputs["train"]?.artifacts)
            let tracked = try #require(try await mlflow.run(version.runID))
            #expect(tracked.tags[TrackedRun.tag] == run.description)
            #expect(version.source.hasPrefix("s3://\(bench.bucket)/runs/\(run)/train/"))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func deliveriesOfOneTaskMakeOneVersion() async throws {
        try await with { bench, ledger, mlflow in
            let run = try await bench.acceptedRun(ledger)
            let inputs = try await inputs(bench, run: run)
            for _ in 0..<3 {
                let (output, _) = try await register(bench, ledger, mlflow, run: run, inputs)
                #expect(output.values["version"]?.stringValue == "1")
                #expect(output.values["aliases"] == ["challenger", "champion"])
            }
            #expect(try await mlflow.modelVersions(name: bench.name).count == 1)
        }
    }

    /// Killed after MLflow made the version and before the ledger heard of it.
    @Test(.timeLimit(.minutes(4)))
    func aVersionThatWasMadeButNotRecordedIsFound() async throws {
        try await with { bench, ledger, mlflow in
            let run = try await bench.acceptedRun(ledger)
            let inputs = try await inputs(bench, run: run)
            _ = try await ledger.claimEffect(run: run, key: "register/" + bench.name, token: ClaimToken("dead"))
            _ = try await mlflow.getOrCreateRegisteredModel(named: bench.name)
            let tags = [Lineage.run: run.description, Lineage.modelDigest: inputs["train"]?.digest ?? ""]
            for _ in 0..<2 {
                _ = try await mlflow.createModelVersion(
                    name: bench.name, source: "s3://\(bench.bucket)/x", runID: nil, description: nil, tags: tags)
            }
            let (output, log) = try await register(bench, ledger, mlflow, run: run, inputs)
            #expect(output.values["version"]?.stringValue == "1")
            #expect(log.contains("did not get to report it"))
            #expect(try await mlflow.modelVersions(name: bench.name).map(\.version) == ["1"])
            #expect(try await ledger.effects(of: run).allSatisfy { $0.state == "done" })
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func handlersThatRaceLeaveOneVersion() async throws {
        try await with { bench, ledger, mlflow in
            let run = try await bench.acceptedRun(ledger)
            let inputs = try await inputs(bench, run: run)
            let versions = await withTaskGroup(of: String?.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        // Losing the claim to another attempt is an error of that attempt, and no harm.
                        try? await register(bench, ledger, mlflow, run: run, inputs).output.values["version"]?
                            .stringValue
                    }
                }
                return await group.reduce(into: [String?]()) { $0.append($1) }
            }
            let (output, _) = try await register(bench, ledger, mlflow, run: run, inputs)
            let left = try await mlflow.modelVersions(name: bench.name)
            #expect(left.map(\.version) == [output.values["version"]?.stringValue ?? ""])
            #expect(versions.allSatisfy { $0 == nil || $0 == left.first?.version })
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion")?.version == left.first?.version)
        }
    }

    /// Stopped in the middle while another attempt registered, then awake and told at once that its lease is lost.
    @Test(
        .timeLimit(.minutes(4)), arguments: [("model-versions/create", "before"), ("model-versions/search", "after")])
    func anAttemptThatSleptLeavesNothing(_ place: String, _ moment: String) async throws {
        try await with { bench, ledger, mlflow in
            let run = try await bench.acceptedRun(ledger)
            let inputs = try await inputs(bench, run: run)
            let server = try #require(URL(string: mlflow.configuration.baseURL)?.port)
            let file = bench.folder + "/held"
            let peer = try await Peer.start("holder", [String(server), place, moment, file])
            let behind = try await bench.mlflow(url: peer.url)
            let sleeper = Task { try await register(bench, ledger, behind, run: run, inputs).output }
            // The test's own time limit ends this.
            while !FileManager.default.fileExists(atPath: file + ".arrived") {
                try await Task.sleep(for: .milliseconds(20))
            }
            let (output, _) = try await register(bench, ledger, mlflow, run: run, inputs)
            sleeper.cancel()
            try Data().write(to: URL(fileURLWithPath: file + ".go"))
            await #expect(throws: (any Error).self) { try await sleeper.value }
            let left = try await mlflow.modelVersions(name: bench.name)
            #expect(left.map(\.version) == [output.values["version"]?.stringValue ?? ""])
        }
    }

    /// Killed between the making of a second version and the sweep: the next registration of the model sweeps.
    @Test(.timeLimit(.minutes(4)))
    func anotherRunsRegistrationSweepsWhatIsLeft() async throws {
        try await with { bench, ledger, mlflow in
            let runs = [try await bench.acceptedRun(ledger), try await bench.acceptedRun(ledger)]
            _ = try await register(bench, ledger, mlflow, run: runs[0], try await inputs(bench, run: runs[0]))
            for tags in [[Lineage.run: runs[0].description], ["made": "by hand"], ["made": "by hand"]] {
                _ = try await mlflow.createModelVersion(
                    name: bench.name, source: "s3://\(bench.bucket)/x", runID: nil, description: nil, tags: tags)
            }
            _ = try await register(bench, ledger, mlflow, run: runs[1], try await inputs(bench, run: runs[1]))
            #expect(try await mlflow.modelVersions(name: bench.name).map(\.version).sorted() == ["1", "3", "4", "5"])
        }
    }

    /// Without a champion there is nothing to take over from; with one the new version takes over step by step.
    @Test(.timeLimit(.minutes(4)))
    func aRolloutBeginsWhereAChampionServes() async throws {
        try await with { bench, ledger, mlflow in
            let runs = [try await bench.acceptedRun(ledger), try await bench.acceptedRun(ledger)]
            let rollout: JSONValue = ["enabled": true, "steps": [0.2, 1], "minimum_samples": 7]
            let first = try await inputs(bench, run: runs[0])
            let (output, _) = try await register(bench, ledger, mlflow, run: runs[0], first, rollout: rollout)
            #expect(output.values["aliases"] == ["challenger", "champion"])
            #expect(try await ledger.rolloutsAlive().isEmpty)
            let second = try await inputs(bench, run: runs[1], weights: "other")
            // Delivered twice, it begins once.
            for _ in 0..<2 {
                let (output, _) = try await register(bench, ledger, mlflow, run: runs[1], second, rollout: rollout)
                #expect(output.values["aliases"] == ["challenger"])
            }
            let alive = try await ledger.rolloutsAlive()
            #expect(alive.count == 1 && alive[0].candidate == "2" && alive[0].baseline == "1")
            #expect(alive[0].policy.steps == [0.2, 1] && alive[0].policy.minimumSamples == 7)
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion")?.version == "1")
            // A third one waits.
            let run = try await bench.acceptedRun(ledger)
            let (_, log) = try await register(
                bench, ledger, mlflow, run: run, try await inputs(bench, run: run), rollout: true)
            #expect(log.contains("the rollout of version 2 is under way"))
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "challenger")?.version == "2")
            #expect(try await ledger.rolloutsAlive().map(\.candidate) == ["2"])
        }
    }

    @Test(
        .timeLimit(.minutes(4)),
        arguments: [
            ("yes", "must be true, false or a mapping"), (["step": [1]], "there is no step"),
            (["enabled": 1], "must be true or false"), (["steps": [0.5]], "the last step must be 1"),
        ] as [(JSONValue, String)])
    func aRolloutThatCannotBeIsRefused(_ rollout: JSONValue, message: String) async throws {
        try await with { bench, ledger, mlflow in
            let run = try await bench.acceptedRun(ledger)
            let inputs = try await inputs(bench, run: run)
            let error = await #expect(throws: StageFailure.self) {
                _ = try await register(bench, ledger, mlflow, run: run, inputs, rollout: rollout)
            }
            #expect(error?.failure.message.contains(message) == true && error?.failure.class == .permanent)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aliasesMoveForwardsOnly() async throws {
        try await with { bench, ledger, mlflow in
            let runs = [try await bench.acceptedRun(ledger), try await bench.acceptedRun(ledger)]
            let first = try await inputs(bench, run: runs[0])
            let second = try await inputs(bench, run: runs[1])
            _ = try await register(bench, ledger, mlflow, run: runs[0], first, promote: false)
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion") == nil)
            _ = try await register(bench, ledger, mlflow, run: runs[1], second)
            // The first run again, which now wants to be champion: version 2 stays.
            let (late, _) = try await register(bench, ledger, mlflow, run: runs[0], first, promote: true)
            #expect(late.values["aliases"] == ["challenger"])
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion")?.version == "2")
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "challenger")?.version == "2")
            // Somebody rolls back by hand; a replay of the second run does not undo that.
            try await mlflow.setAlias(name: bench.name, alias: "champion", version: "1")
            _ = try await register(bench, ledger, mlflow, run: runs[1], second)
            #expect(try await mlflow.modelVersion(name: bench.name, alias: "champion")?.version == "1")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func runsThatRaceLeaveTheAliasAtTheLatest() async throws {
        try await with { bench, ledger, mlflow in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let run = try await bench.acceptedRun(ledger)
                        let inputs = try await inputs(bench, run: run)
                        _ = try await register(bench, ledger, mlflow, run: run, inputs)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await mlflow.modelVersions(name: bench.name).count == 4)
            for alias in ["champion", "challenger"] {
                #expect(try await mlflow.modelVersion(name: bench.name, alias: alias)?.version == "4")
            }
        }
    }

    /// A web server that is not MLflow, such as an ingress whose backend is gone, is no registry without a champion.
    @Test(.timeLimit(.minutes(4)))
    func aStrangers404IsNoMissingChampion() async throws {
        let peer = try await Peer.start("files")
        try await Workbench.with { bench in
            let mlflow = try await bench.mlflow(url: peer.url)
            let error = await #expect(throws: MLflowError.self) {
                try await mlflow.modelVersion(name: bench.name, alias: Lineage.championAlias)
            }
            #expect(error?.isRetryable == true)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func nothingUnjudgedIsRegistered() async throws {
        try await with { bench, ledger, mlflow in
            let run = try await bench.acceptedRun(ledger)
            var rejected = try await inputs(bench, run: run, accepted: false)
            var codes: [String] = []
            for change in 0..<3 {
                if change == 1 { rejected["evaluate"] = StageOutput(values: ["type": "evaluation"]) }
                if change == 2 {
                    rejected = try await inputs(bench, run: run)
                    rejected["train"]?.digest = "other"
                }
                do {
                    _ = try await register(bench, ledger, mlflow, run: run, rejected)
                } catch let error as StageFailure {
                    codes.append(error.failure.code)
                }
            }
            #expect(codes == ["register.rejected", "register.no_gate", "register.mismatch"])
            #expect(try await mlflow.registeredModel(named: bench.name) == nil)
            // Other weights under a run that has a version already.
            _ = try await register(bench, ledger, mlflow, run: run, try await inputs(bench, run: run))
            await #expect {
                try await register(bench, ledger, mlflow, run: run, inputs(bench, run: run, weights: "retrained"))
            } throws: { ($0 as? StageFailure)?.failure.code == "register.other_weights" }
        }
    }
}
