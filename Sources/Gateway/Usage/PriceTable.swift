/// What tokens cost.
///
/// Based on what an hour of the machine costs that a model runs on: a version that answers `completionPerHour` tokens an
/// hour costs the hour's price divided by them. Prompts are read faster than answers are written, and what comes from the
/// model server's cache faster still; each has its own price.
package struct PriceTable: Hashable, Sendable {
    /// Prices in millionths of the currency's unit for a million tokens.
    package struct Price: Hashable, Sendable {
        package var prompt: Int64
        package var cached: Int64
        package var completion: Int64

        package init(prompt: Int64, cached: Int64, completion: Int64) {
            self.prompt = prompt
            self.cached = cached
            self.completion = completion
        }
    }

    package var byModel: [String: Price]
    /// For models without a price of their own.
    package var fallback: Price

    package init(byModel: [String: Price] = [:], fallback: Price = Price(prompt: 0, cached: 0, completion: 0)) {
        self.byModel = byModel
        self.fallback = fallback
    }

    func price(of model: String) -> Price { byModel[model] ?? fallback }
}

extension PriceTable.Price {
    /// In millionths of the currency's unit, rounded up.
    func cost(_ use: TokenUse) -> Int64 {
        let fresh = Int64(max(0, use.prompt - use.cached))
        let total = fresh * prompt + Int64(use.cached) * cached + Int64(use.completion) * completion
        return (total + 999_999) / 1_000_000
    }
}
