package import Ledger
package import Logging
package import MLflowClient
package import Pipeline

/// Writes on every model version in the registry what it was used for and what that cost, as tags. Keeps nothing that
/// matters: any number of them may run.
package struct UsageTotals: Sendable {
    private let ledger: Ledger
    private let mlflow: MLflowClient
    private let log: Logger
    private let interval: Duration

    package init(ledger: Ledger, mlflow: MLflowClient, interval: Duration = .seconds(60), logger: Logger) {
        self.ledger = ledger
        self.mlflow = mlflow
        self.interval = interval
        log = logger
    }

    /// A version of a model.
    package struct Version: Hashable, Sendable {
        package let model: String
        package let number: String
    }

    /// Until it is cancelled.
    package func run() async {
        var written: [Version: UsageLine.Sum] = [:]
        while !Task.isCancelled {
            do {
                written = try await write(after: written)
            } catch {
                log.debug("totals were not written; trying again", metadata: ["error": "\(error)"])
            }
            do { try await Task.sleep(for: interval) } catch { return }
        }
    }

    /// Writes what has changed.
    /// - Parameter written: what was written before.
    /// - Returns: what is written now.
    package func write(after written: [Version: UsageLine.Sum]) async throws -> [Version: UsageLine.Sum] {
        var sums: [Version: UsageLine.Sum] = [:]
        for report in try await ledger.usage(
            from: Timestamp(microseconds: 0), to: .now.advanced(by: .seconds(7_200)))
        {
            sums[Version(model: report.model, number: report.version), default: UsageLine.Sum()] += report.sum
        }
        for (version, sum) in sums where written[version] != sum {
            // One that is served without being registered has nobody to tell.
            guard try await mlflow.modelVersion(name: version.model, version: version.number) != nil else { continue }
            for (key, value) in [
                ("requests", String(sum.requests)), ("failed", String(sum.failed)),
                ("prompt_tokens", String(sum.promptTokens)), ("completion_tokens", String(sum.completionTokens)),
                ("cost", NumberText.short(Double(sum.cost) / 1_000_000)),
            ] {
                try await mlflow.setVersionTag(
                    name: version.model, version: version.number, key: "martlet.usage.\(key)", value: value)
            }
        }
        return sums
    }
}
