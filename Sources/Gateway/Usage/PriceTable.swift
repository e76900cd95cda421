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

    package func price(of model: String) -> Price { byModel[model] ?? fallback }
}

extension PriceTable.Price {
    /// No request costs more, whatever was counted: a billion of the currency's units.
    private static let most = 1e15

    /// In millionths of the currency's unit, rounded up.
    package func cost(_ use: TokenUse) -> Int64 {
        // As floating-point numbers, which do not overflow, and are exact as far as any real bill goes.
        let total =
            Double(max(0, use.prompt - use.cached)) * Double(prompt) + Double(use.cached) * Double(cached)
            + Double(use.completion) * Double(completion)
        return Int64(min((total / 1_000_000).rounded(.up), Self.most))
    }
}
