import Ledger
import MLflowClient
import Pipeline
import StageSupport
import WorkerRuntime

/// Points aliases at a version, forwards only.
///
/// MLflow moves an alias without looking at what it held. So every version first says in a tag that it wants the
/// alias, and whoever has moved it looks afterwards whether a later version said so meanwhile: the last one to move
/// always sees the latest wish. Who moves it for another looks again.
struct AliasMover: Sendable {
    let mlflow: MLflowClient
    let ledger: Ledger
    let context: StageContext
    let name: String
    let version: MLflowModelVersion

    /// Followed by the alias.
    static let wishPrefix = "martlet.alias."

    /// Points `alias` at the version, once per run: where somebody has moved it back since, a replay leaves it.
    /// - Returns: whether this run has set it; false when it was at a later version.
    func point(_ alias: String) async throws -> Bool {
        let run = context.payload.run
        let key = "register/\(name)/alias/\(alias)"
        if case .done(let outcome) = try await ledger.claimEffect(run: run, key: key, token: context.token) {
            context.log.line("alias \(alias) was seen to before")
            return outcome["set"]?.boolValue ?? false
        }
        let isSet = try await move(alias)
        try await ledger.recordEffect(
            run: run, key: key, token: context.token, succeeded: true,
            outcome: .object(["set": .bool(isSet), "version": .string(version.version)]))
        return isSet
    }

    private func move(_ alias: String) async throws -> Bool {
        let wish = Self.wishPrefix + alias
        try await mlflow.setVersionTag(name: name, version: version.version, key: wish, value: "wanted")
        let holder = try await mlflow.modelVersion(name: name, alias: alias)
        if let holder, Self.number(holder) > Self.number(version) {
            context.log.line("alias \(alias) stays at the later version \(holder.version)")
            return false
        }
        guard holder?.version != version.version else { return true }
        var target = version
        while true {
            try await set(alias, to: target.version)
            let later = try await mlflow.modelVersions(name: name)
                .filter { $0.tags[wish] != nil && Self.number($0) > Self.number(target) }
                .max { Self.number($0) < Self.number($1) }
            guard let later else { return target.version == version.version }
            context.log.line("alias \(alias) goes to the later version \(later.version), registered meanwhile")
            target = later
        }
    }

    /// MLflow looks and then inserts, so of two that set a new alias at once one is refused with an error of its
    /// database. A second try finds the alias there and moves it.
    private func set(_ alias: String, to version: String) async throws {
        do {
            try await mlflow.setAlias(name: name, alias: alias, version: version)
        } catch let error as MLflowError where error.status == 400 || error.status == 500 {
            try await mlflow.setAlias(name: name, alias: alias, version: version)
        }
    }

    /// MLflow numbers the versions of a model from 1.
    private static func number(_ version: MLflowModelVersion) -> Int { Int(version.version) ?? 0 }
}
