/// A virtual key: who may ask the gateway, for what and how much.
package struct APIKey: Hashable, Sendable {
    /// What happens to requests of a key whose limits cannot be compared with the other gateways.
    package enum LimitFailure: String, Hashable, Sendable, CaseIterable {
        /// They pass, within the limits as each gateway alone sees them.
        case open
        /// They are refused.
        case closed
    }

    /// What the key may do; nil is unlimited.
    package struct Limits: Hashable, Sendable {
        /// Models that may be asked, without version or alias; empty: all.
        package var models: [String] = []
        package var requestsPerMinute: Int?
        /// The prompts' and the answers'.
        package var tokensPerMinute: Int?
        /// Requests at the same time.
        package var concurrent: Int?
        /// Millionths of the currency's unit.
        package var monthlyBudget: Int64?
        /// 0 is served first, 2 last.
        package var priority = 1
        package var onFailure = LimitFailure.open
        /// From then on it is refused.
        package var expires: Timestamp?

        package init() {}
    }

    /// The classes of priority.
    package static let priorities = 0...2

    /// Its number in the ledger.
    package var id: Int
    package var name: String
    package var team: String
    /// SHA-256 of the key itself, which is not kept.
    package var digest: [UInt8]
    package var limits = Limits()
    /// What it spent this month when the ledger was asked, in millionths of the currency's unit.
    package var monthlySpent: Int64 = 0
    package var created = Timestamp(microseconds: 0)
    package var revoked: Timestamp?

    package init(id: Int, name: String, team: String, digest: [UInt8]) {
        self.id = id
        self.name = name
        self.team = team
        self.digest = digest
    }
}
