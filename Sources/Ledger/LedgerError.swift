/// What went wrong in the ledger, beyond what PostgreSQL itself reports.
package struct LedgerError: Error, CustomStringConvertible {
    /// Extensible: more codes may come.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let description: String

        /// No such run, task or dead letter.
        package static let notFound = Code(description: "not_found")
        /// More than one run begins like that.
        package static let ambiguous = Code(description: "ambiguous")
        /// The run's state does not allow it.
        package static let refused = Code(description: "refused")
        /// The database holds what this program never writes, or was migrated by a newer one.
        package static let corrupt = Code(description: "corrupt")
    }

    package let code: Code
    /// What is wrong and what to do.
    package let message: String
    package var isRetryable: Bool { false }
    package var description: String { message }

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
