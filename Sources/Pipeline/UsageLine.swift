/// What requests took, summed by hour, key and model version.
package struct UsageLine: Hashable, Sendable {
    /// What is summed apart.
    package struct Group: Hashable, Sendable {
        /// Hours since 1970.
        package var hour: Int
        /// The key's number in the ledger; 0 without one.
        package var key: Int
        package var model: String
        package var version: String

        package init(hour: Int, key: Int, model: String, version: String) {
            self.hour = hour
            self.key = key
            self.model = model
            self.version = version
        }
    }

    package struct Sum: Hashable, Sendable {
        package var requests = 0
        /// Requests that ended with a status of 500 and above.
        package var failed = 0
        /// Answers that were cut short: their tokens are the gateway's count.
        package var partial = 0
        package var promptTokens = 0
        /// Of the prompts' tokens, those that the model server had in its cache.
        package var cachedTokens = 0
        package var completionTokens = 0
        /// Millionths of the currency's unit.
        package var cost: Int64 = 0

        package init() {}

        package static func += (left: inout Sum, right: Sum) {
            left.requests += right.requests
            left.failed += right.failed
            left.partial += right.partial
            left.promptTokens += right.promptTokens
            left.cachedTokens += right.cachedTokens
            left.completionTokens += right.completionTokens
            left.cost += right.cost
        }
    }

    package var group: Group
    package var sum: Sum

    package init(group: Group, sum: Sum) {
        self.group = group
        self.sum = sum
    }
}
