/// A virtual key, as the ledger has it.
package struct APIKey: Hashable, Sendable {
    /// What happens to requests of a key whose limits cannot be checked with the other gateways.
    package enum LimitFailure: String, Hashable, Sendable {
        /// They pass, within the limits as this gateway alone sees them.
        case open
        /// They are refused.
        case closed
    }

    package var id: Int
    package var name: String
    package var team: String
    /// SHA-256 of the key itself, which is not kept.
    package var digest: [UInt8]
    /// Models that may be asked, without version or alias; empty: all.
    package var models: [String] = []
    package var requestsPerMinute: Int?
    package var tokensPerMinute: Int?
    /// Requests at the same time.
    package var concurrent: Int?
    /// Millionths of the currency's unit.
    package var monthlyBudget: Int64?
    /// What it spent this month when the ledger was last asked.
    package var monthlySpent: Int64 = 0
    /// 0 is served first, 2 last.
    package var priority = 1
    package var onLimitFailure = LimitFailure.open
    /// Seconds since 1970 from which it is refused.
    package var expires: Double?

    package init(id: Int, name: String, team: String, digest: [UInt8]) {
        self.id = id
        self.name = name
        self.team = team
        self.digest = digest
    }
}
