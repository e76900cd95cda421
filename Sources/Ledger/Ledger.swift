package import Logging
import Pipeline
package import PostgresClient
import Synchronization

/// The domain on PostgreSQL: what must be done and what has been done.
///
/// Every method is one transaction, and every transaction that touches a run locks the run's row first, in the
/// order of ids, so any number of schedulers may call it at once.
package final class Ledger: Sendable {
    let postgres: PostgresClient
    let logger: Logger
    private let pipelines = Mutex<[String: PipelineSpec]>([:])

    package init(postgres: PostgresClient, logger: Logger) {
        self.postgres = postgres
        self.logger = logger
    }

    /// For every connection of a ledger. Its statements go by keys and partial indexes, with arrays of unknown length:
    /// planned once, by index, whatever the statistics say of tables that were empty a moment ago. A plan that reads
    /// whole tables gets slower with every run that ever was.
    package static let sessionSettings = [
        "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_hashjoin": "off",
        "enable_mergejoin": "off", "jit": "off",
    ]

    /// The channel on which a process says that tasks became ready.
    package static let readyChannel = "martlet_ready"

    /// A pipeline as it was when a run of it was accepted.
    func pipeline(digest: String, in connection: PostgresConnection) async throws -> PipelineSpec {
        if let known = pipelines.withLock({ $0[digest] }) { return known }
        let rows = try await connection.query(SQL.results["pipeline_spec"], [.text(digest)])
        guard let row = rows.first else {
            throw LedgerError(.corrupt, "pipeline \(digest) is not in martlet.pipelines, but a run refers to it")
        }
        let spec = try JSON.decode(PipelineSpec.self, from: try row["spec", as: String.self])
        remember(spec, digest: digest)
        return spec
    }

    func remember(_ spec: PipelineSpec, digest: String) {
        pipelines.withLock { cache in
            // A fleet has tens of pipelines; only a flood of edits gets here.
            if cache.count > 1_000 { cache.removeAll() }
            cache[digest] = spec
        }
    }

    func forget(digests: some Sequence<String>) {
        pipelines.withLock { cache in
            for digest in digests { cache[digest] = nil }
        }
    }

    func isRemembered(digest: String) -> Bool {
        pipelines.withLock { $0[digest] != nil }
    }
}
