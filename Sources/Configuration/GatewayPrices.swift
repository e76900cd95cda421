import Pipeline

/// Reads what an hour of the machines costs.
struct GatewayPrices {
    private let sources: SettingSources
    private(set) var prices: [MartletConfiguration.Gateway.Price] = []

    private static let members = ["model", "hour", "prompt_rate", "cached_rate", "completion_rate"]

    init(_ sources: SettingSources) {
        self.sources = sources
        guard let node = sources.node(SettingKey.prices) else { return }
        guard case .sequence(let elements) = node.content else {
            sources.report(
                "gateway.prices must be a list, such as [{model: \"*\", hour: 2.5, prompt_rate: 20000, completion_rate: 2000}]",
                at: sources.origin(of: node))
            return
        }
        prices = elements.enumerated().compactMap { price($1, place: $0 + 1) }
    }

    private func price(_ node: YAMLNode, place: Int) -> MartletConfiguration.Gateway.Price? {
        func report(_ message: String, _ node: YAMLNode) -> MartletConfiguration.Gateway.Price? {
            sources.report("price \(place) of gateway.prices \(message)", at: sources.origin(of: node))
            return nil
        }
        guard case .mapping(let members) = node.content else {
            return report("must be a mapping with model, hour, prompt_rate and completion_rate", node)
        }
        for member in members where !Self.members.contains(member.name) {
            let advice = Suggestion.advice(for: member.name, in: Self.members, plural: "keys")
            return report(
                "has no key \"\(member.name.prefix(80))\": \(advice)",
                YAMLNode(content: member.value.content, position: member.position))
        }
        func number(_ name: String, in range: ClosedRange<Double>) -> Double? {
            guard case .scalar(_, let text) = members.first(where: { $0.name == name })?.value.content else {
                return nil
            }
            return Double(text).flatMap { range.contains($0) ? $0 : nil }
        }
        guard case .scalar(_, let model) = members.first(where: { $0.name == "model" })?.value.content, !model.isEmpty
        else { return report("needs a model, or * for all others", node) }
        guard let hour = number("hour", in: 0...1_000_000) else {
            return report("needs hour, what an hour of the machine costs, from 0 to 1000000", node)
        }
        let rates = 0.001...1e9
        guard let prompt = number("prompt_rate", in: rates), let completion = number("completion_rate", in: rates)
        else {
            return report("needs prompt_rate and completion_rate, tokens in a second", node)
        }
        let cached = number("cached_rate", in: rates)
        if cached == nil, let member = members.first(where: { $0.name == "cached_rate" }) {
            return report("has a cached_rate that is no number of tokens in a second", member.value)
        }
        sources.record(
            SettingKey("gateway.prices.\(place)"), shown: "\(model): \(NumberText.short(hour)) an hour",
            origin: sources.origin(of: node))
        return MartletConfiguration.Gateway.Price(
            model: model, hour: hour, promptRate: prompt, cachedRate: cached ?? prompt,
            completionRate: completion)
    }
}
