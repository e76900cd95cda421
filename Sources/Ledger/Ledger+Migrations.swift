import Crypto
import Logging
import PostgresClient

extension Ledger {
    /// Each migration's text; the index plus one is its version. Never edited once released.
    private static let migrations: [[UInt8]] = [
        PackageResources.migration_0001_sql, PackageResources.migration_0002_sql, PackageResources.migration_0003_sql,
        PackageResources.migration_0004_sql, PackageResources.migration_0005_sql,
    ]

    /// The schema's version that this program brings about.
    package static var schemaVersion: Int { migrations.count }

    /// Brings the schema up to date. Safe to call from any number of processes at once.
    /// - Throws: ``LedgerError`` `corrupt` when the database was migrated by a newer program, or when a migration
    ///   that it has differs from this program's.
    package func migrate() async throws {
        try await postgres.withTransaction { connection in
            _ = try await connection.query(SQL.migrations["lock"], [])
            _ = try await connection.query(SQL.migrations["prepare"], [])
            _ = try await connection.query(SQL.migrations["prepare_table"], [])
            let applied = try await connection.query(SQL.migrations["applied"], [])
            for row in applied {
                let version = try row["version", as: Int.self]
                guard version <= Self.migrations.count else {
                    throw LedgerError(
                        .corrupt,
                        "the ledger's schema has version \(version) and this program knows \(Self.migrations.count): "
                            + "use a martlet at least as new as the one that migrated it")
                }
                guard try row["digest", as: String.self] == Self.digest(of: version) else {
                    throw LedgerError(.corrupt, "migration \(version) in the ledger differs from this program's")
                }
            }
            for version in (applied.count + 1)..<(Self.migrations.count + 1) {
                for statement in Self.statements(of: Self.migrations[version - 1]) {
                    _ = try await connection.query(statement, [])
                }
                _ = try await connection.query(
                    SQL.migrations["record"], [.int(Int64(version)), .text(Self.digest(of: version))])
                self.logger.notice("ledger migrated", metadata: ["version": "\(version)"])
            }
        }
    }

    private static func digest(of version: Int) -> String {
        SHA256.hash(data: migrations[version - 1]).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// Migrations hold plain statements only (no function bodies), so a line's closing semicolon ends one.
    private static func statements(of migration: [UInt8]) -> [String] {
        var statements: [String] = []
        var current = ""
        for line in String(decoding: migration, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("--") {
            current += line + "\n"
            if line.hasSuffix(";") {
                statements.append(current)
                current = ""
            }
        }
        return statements
    }
}
