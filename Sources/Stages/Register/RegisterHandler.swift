package import Ledger
import Logging
package import MLflowClient
package import Pipeline
import StageSupport
package import WorkerRuntime

/// Puts a model that passed the gate into the registry, exactly once per run, with its lineage.
package struct RegisterHandler: StageHandler {
    package let kind = "register"
    package let version = "1"

    private let mlflow: MLflowClient
    private let ledger: Ledger

    package init(mlflow: MLflowClient, ledger: Ledger) {
        self.mlflow = mlflow
        self.ledger = ledger
    }

    /// Never: registering is an effect, and effects are not repeated by looking them up.
    package func cacheValidator(_ context: StageContext) async throws -> JSONValue? { nil }

    package func run(_ context: StageContext) async throws -> StageResult {
        let parameters = try Parameters(context.payload, known: ["model_name", "promote", "rollout"])
        let name = try parameters.requiredString("model_name")
        let promote = try parameters.bool("promote", default: false)
        let model = try context.input(.model)
        let evaluation = try context.input(.evaluation)
        guard let gate = evaluation.values[GateDecision.outputKey].flatMap(GateDecision.init(json:)) else {
            throw StageFailure(
                .permanent, "register.no_gate",
                "the evaluation that stage \(context.payload.stage) reads holds no gate decision: nothing is registered unjudged"
            )
        }
        guard gate.isAccepted else {
            throw StageFailure(
                .permanent, "register.rejected",
                "the gate rejected the model (\(gate.failureSummary)): it is not registered")
        }
        guard evaluation.values["model_digest"]?.stringValue == model.digest, let digest = model.digest else {
            throw StageFailure(
                .permanent, "register.mismatch",
                "the evaluation is of other weights than the model that is to be registered: retry the run from stage evaluate"
            )
        }
        let version = try await registerOnce(
            name: name, model: model, evaluation: evaluation, digest: digest, context: context)
        let rollout = try RolloutStart(parameters["rollout"], stage: context.payload.stage)
        let mover = AliasMover(mlflow: mlflow, ledger: ledger, context: context, name: name, version: version)
        var aliases: [String] = []
        // Where nothing serves yet there is nothing to take over from.
        let champion =
            rollout == nil ? nil : try await mlflow.modelVersion(name: name, alias: Lineage.championAlias)?.version
        let takesOver = champion.map { (Int($0) ?? 0) < (Int(version.version) ?? 0) } ?? false
        let promotes = rollout == nil ? promote : champion == nil
        // The challenger that is on its way keeps its alias, and with it its engine.
        if let other = try await ledger.rolloutsAlive().first(where: { $0.model == name }),
            other.candidate != version.version, !promotes
        {
            context.log.line(
                "version \(version.version) has no alias: the rollout of version \(other.candidate) is under way")
            return output(name, version, aliases: [])
        }
        for alias in promotes ? [Lineage.challengerAlias, Lineage.championAlias] : [Lineage.challengerAlias]
        where try await mover.point(alias) {
            aliases.append(alias)
        }
        if let rollout, let champion, takesOver {
            try await rollout.start(ledger, context, model: name, candidate: version.version, baseline: champion)
        }
        context.log.line("model \(name) version \(version.version), aliases \(aliases.joined(separator: ", "))")
        return output(name, version, aliases: aliases)
    }

    private func output(_ name: String, _ version: MLflowModelVersion, aliases: [String]) -> StageResult {
        .succeeded(
            StageOutput(
                values: .object([
                    "type": .string(OutputType.modelVersion.rawValue), "name": .string(name),
                    "version": .string(version.version), "aliases": .array(aliases.map(JSONValue.string)),
                    "source": .string(version.source), "mlflow_run_id": .string(version.runID),
                ])))
    }

    // MARK: The version

    private func registerOnce(
        name: String, model: StageOutput, evaluation: StageOutput, digest: String, context: StageContext
    ) async throws -> MLflowModelVersion {
        let key = Self.key(name)
        switch try await ledger.claimEffect(run: context.payload.run, key: key, token: context.token) {
        case .done(let outcome):
            guard let number = outcome["version"]?.stringValue,
                let version = try await mlflow.modelVersion(name: name, version: number)
            else {
                throw StageFailure(
                    .permanent, "register.vanished",
                    "run \(context.payload.run) registered model \(name) before, but that version is no longer in the registry"
                )
            }
            if let registered = outcome["model_digest"]?.stringValue, registered != digest {
                throw StageFailure(
                    .permanent, "register.other_weights",
                    "run \(context.payload.run) registered other weights as version \(number) of model \(name) before, and a run has "
                        + "one version: start a new run for the newly trained model")
            }
            context.log.line("registered before as version \(number)")
            try await sweep(name: name, context: context)
            return version
        case .first, .again:
            _ = try await mlflow.getOrCreateRegisteredModel(named: name)
            try Task.checkCancellation()
            // Unstructured, so that a lost lease cannot end it between the making of a version and the sweep.
            return try await Task {
                do {
                    let version = try await create(
                        name: name, model: model, evaluation: evaluation, digest: digest, context: context)
                    try await ledger.recordEffect(
                        run: context.payload.run, key: key, token: context.token, succeeded: true,
                        outcome: .object(["version": .string(version.version), "model_digest": .string(digest)]))
                    try await sweep(name: name, context: context)
                    return version
                } catch {
                    // Another attempt may have recorded its version already and looked for others before this one
                    // was made. What cannot be swept now, the model's next registration finds.
                    try? await sweep(name: name, context: context)
                    throw error
                }
            }.value
        }
    }

    /// This run's version of these weights: the oldest that there is, or else a new one. An attempt that was stopped
    /// in here may have made one as well; then both take the older one, and what the ledger records decides.
    private func create(
        name: String, model: StageOutput, evaluation: StageOutput, digest: String, context: StageContext
    ) async throws -> MLflowModelVersion {
        if let existing = try await ours(name: name, digest: digest, run: context.payload.run).first {
            context.log.line("found version \(existing.version), made by an attempt that did not get to report it")
            return existing
        }
        guard let artifacts = model.artifacts else {
            throw StageFailure(.permanent, "stage.no_files", "the model that is to be registered has no files")
        }
        let tracked = try await TrackedRun(client: mlflow, context: context).ensure()
        let folder = artifacts.key.split(separator: "/").dropLast().joined(separator: "/")
        // The last look before the effect: this attempt may have slept since it claimed it.
        guard try await ledger.holdsEffect(run: context.payload.run, key: Self.key(name), token: context.token) else {
            throw LedgerError(
                .refused,
                "another attempt registers the model of run \(context.payload.run) meanwhile; nothing was made")
        }
        let made = try await mlflow.createModelVersion(
            name: name, source: "s3://\(artifacts.bucket)/\(folder)/merged", runID: tracked.id,
            description: "Made by run \(context.payload.run) of pipeline \(context.payload.pipeline).",
            tags: lineage(model: model, evaluation: evaluation, artifacts: artifacts, digest: digest, context: context))
        guard let first = try await ours(name: name, digest: digest, run: context.payload.run).first else {
            throw StageFailure(
                .retryable, "register.not_listed",
                "version \(made.version) of model \(name) was made, but the registry does not list it yet")
        }
        return first
    }

    /// Deletes what was made besides the versions that the ledger has recorded, of this run and of any other.
    ///
    /// Whoever records sweeps afterwards, and so does whoever made a version and may not record it. So the later of
    /// the two sees the other's work, and what a process leaves that is killed in between, the model's next
    /// registration finds. No alias ever pointed there: aliases go to what is recorded.
    private func sweep(name: String, context: StageContext) async throws {
        let versions = try await mlflow.modelVersions(name: name)
        for (tag, versions) in Dictionary(grouping: versions, by: { $0.tags[Lineage.run] }) where versions.count > 1 {
            guard let tag else { continue }
            let effects = try await ledger.effects(of: RunID(tag))
            let recorded = effects.first { $0.key == Self.key(name) && $0.state == "done" }
            guard let kept = recorded?.outcome?["version"]?.stringValue,
                versions.contains(where: { $0.version == kept })
            else { continue }
            for other in versions where other.version != kept {
                context.log.line("version \(other.version) was made besides version \(kept); it is removed")
                try await mlflow.deleteModelVersion(name: name, version: other.version)
            }
        }
    }

    private static func key(_ name: String) -> String { "register/" + name }

    /// This run's versions of these weights, the oldest first.
    private func ours(name: String, digest: String, run: RunID) async throws -> [MLflowModelVersion] {
        try await mlflow.modelVersions(name: name)
            .filter { $0.tags[Lineage.run] == run.description && $0.tags[Lineage.modelDigest] == digest }
            .sorted { (Int($0.version) ?? 0) < (Int($1.version) ?? 0) }
    }

    private func lineage(
        model: StageOutput, evaluation: StageOutput, artifacts: ManifestReference, digest: String,
        context: StageContext
    ) -> [String: String] {
        var tags = Lineage.tags(of: artifacts)
        tags[Lineage.run] = context.payload.run.description
        tags[Lineage.pipeline] = context.payload.pipeline
        tags[Lineage.modelDigest] = digest
        // The code that trained it; this worker's may be newer.
        tags[Lineage.codeVersion] = model.values["code_version"]?.stringValue ?? BuildInfo.code
        tags[Lineage.datasetDigest] = model.values["dataset_digest"]?.stringValue
        tags[Lineage.baseModel] = model.values["base_model"]?.stringValue
        tags[Lineage.baseModelDigest] = model.values["base_model_digest"]?.stringValue
        for (metric, value) in evaluation.values["metrics"]?["candidate"]?.objectValue ?? [:] {
            if let number = value.doubleValue { tags[Lineage.metricPrefix + metric] = String(number) }
        }
        return tags
    }
}
