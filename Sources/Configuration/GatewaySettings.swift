import Pipeline

extension MartletConfiguration {
    /// The gateway in front of the model servers.
    package struct Gateway: Hashable, Sendable {
        /// Whether requests need a key.
        package enum Keys: String, Hashable, Sendable, CaseIterable {
            case required
            case optional
        }

        /// A model server that is written down, beside those that register themselves.
        package struct Replica: Hashable, Sendable {
            package var model: String
            package var version: String
            package var aliases: [String]
            package var host: String
            package var port: Int
            /// Whether every address of the host's name is a server.
            package var isName = false
            /// The model's name at the server.
            package var servedName: String
            package var maximumInFlight: Int
        }

        /// What an hour of the machine costs that a model runs on, and what it does in it.
        package struct Price: Hashable, Sendable {
            /// `*` for all models without a price of their own.
            package var model: String
            /// In the currency's unit.
            package var hour: Double
            /// Tokens in a second when it does nothing else.
            package var promptRate: Double
            package var cachedRate: Double
            package var completionRate: Double
        }

        /// Where applications reach it.
        package var address = HTTPAddress(host: "127.0.0.1", port: 8_000)
        /// Event loops, a thread each.
        package var threads = 1
        package var keys = Keys.required
        /// The largest body, in bytes.
        package var maximumBody = 8 << 20
        /// Requests of batches that it has in hand at most; 0: it works on none.
        package var batchRequests = 32
        /// Whether requests that wait and differ only in their prompts become one call.
        package enum Coalescing: String, Hashable, Sendable, CaseIterable {
            case off
            case on
            /// Where a trial under load has shown that it wins.
            case auto
        }

        package var coalescing = Coalescing.auto
        /// MiB of answers that are kept for who asks the same again at temperature 0; 0 keeps none.
        package var answerCache = 0
        /// Sent to every model server as a bearer token.
        package var upstreamKey: Secret?
        package var replicas: [Replica] = []
        package var prices: [Price] = []
        /// Seconds after which a second server is asked for a short answer; 0: never.
        package var hedgeAfter = 0.0
        /// Seconds that requests have to end when the gateway stops.
        package var grace = 30.0
    }
}

/// Reads whom the gateway asks, and how.
struct GatewaySettings {
    private let sources: SettingSources
    private(set) var gateway = MartletConfiguration.Gateway()

    private static let members = ["model", "version", "aliases", "url", "served_name", "max_in_flight"]

    init(_ sources: SettingSources) {
        self.sources = sources
        gateway.address = sources.parsed(
            .gatewayAddress, standard: gateway.address, shown: \.description,
            expected: "an address such as 127.0.0.1:8000", parse: { HTTPAddress($0) })
        gateway.threads = sources.count(.gatewayThreads, standard: gateway.threads, in: 1...256)
        gateway.keys = sources.choice(.gatewayKeys, standard: gateway.keys)
        gateway.maximumBody = sources.count(
            .gatewayMaximumBody, standard: gateway.maximumBody, in: 1_024...(1 << 30))
        gateway.batchRequests = sources.count(
            .gatewayBatchRequests, standard: gateway.batchRequests, in: 0...1_000)
        gateway.coalescing = sources.choice(.gatewayCoalescing, standard: gateway.coalescing)
        gateway.answerCache = sources.count(.gatewayAnswerCache, standard: gateway.answerCache, in: 0...65_536)
        gateway.upstreamKey = sources.secret(.gatewayUpstreamKey)
        gateway.grace = sources.duration(.gatewayGrace, standard: gateway.grace, in: 0...3_600)
        gateway.hedgeAfter = sources.duration(.gatewayHedgeAfter, standard: gateway.hedgeAfter, in: 0...600)
        gateway.replicas = replicas()
        gateway.prices = GatewayPrices(sources).prices
    }

    private func replicas() -> [MartletConfiguration.Gateway.Replica] {
        guard let node = sources.node(SettingKey.replicas) else { return [] }
        guard case .sequence(let elements) = node.content else {
            sources.report(
                "gateway.replicas must be a list, such as [{model: security-qa, version: \"1\", url: http://host:8000}]",
                at: sources.origin(of: node))
            return []
        }
        return elements.enumerated().compactMap { replica($1, number: $0 + 1) }
    }

    private func replica(_ node: YAMLNode, number: Int) -> MartletConfiguration.Gateway.Replica? {
        let label = "replica \(number) of gateway.replicas"
        func report(_ message: String, _ place: YAMLNode) -> MartletConfiguration.Gateway.Replica? {
            sources.report("\(label) \(message)", at: sources.origin(of: place))
            return nil
        }
        guard case .mapping(let members) = node.content else {
            return report("must be a mapping with model, version and url", node)
        }
        for member in members where !Self.members.contains(member.name) {
            let advice = Suggestion.advice(for: member.name, in: Self.members, plural: "keys")
            return report(
                "has no key \"\(member.name.prefix(80))\": \(advice)",
                YAMLNode(content: member.value.content, position: member.position))
        }
        func value(_ name: String) -> YAMLNode? { members.first { $0.name == name }?.value }
        func text(_ name: String) -> String? {
            guard case .scalar(_, let text) = value(name)?.content else { return nil }
            return text
        }
        guard let model = text("model"), Self.isName(model) else {
            return report("needs a model: 1 to 128 letters, digits, dots, dashes, underscores and slashes", node)
        }
        guard let version = text("version"), Self.isName(version) else {
            return report("needs a version: 1 to 128 letters, digits, dots, dashes, underscores and slashes", node)
        }
        var aliases: [String] = []
        if let node = value("aliases") {
            guard case .sequence(let elements) = node.content else {
                return report("must have a list of aliases", node)
            }
            for element in elements {
                guard case .scalar(_, let alias) = element.content, Self.isName(alias) else {
                    return report("has an alias that is no name", element)
                }
                aliases.append(alias)
            }
        }
        guard let address = text("url"), let place = value("url") else { return report("needs a url", node) }
        let url = ServiceURL(address)
        if let fault = SettingSources.fault(of: url, schemes: ["http", "dns"]) {
            return report("has a url that \(fault)", place)
        }
        guard let target = HTTPAddress(ofPlainURL: address) else {
            return report("must have a url of a host and a port only, such as http://10.0.0.7:8000", place)
        }
        var maximum = 256
        if let node = value("max_in_flight") {
            guard let given = text("max_in_flight").flatMap(Int.init), (1...100_000).contains(given) else {
                return report("must have max_in_flight from 1 to 100000", node)
            }
            maximum = given
        }
        sources.record(
            SettingKey("gateway.replicas.\(number)"), shown: "\(model):\(version) \(url)",
            origin: sources.origin(of: node))
        return MartletConfiguration.Gateway.Replica(
            model: model, version: version, aliases: aliases, host: target.host, port: target.port,
            isName: address.hasPrefix("dns://"), servedName: text("served_name") ?? model, maximumInFlight: maximum)
    }

    private static func isName(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: ".")
                    || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "/")
            }
    }
}

extension HTTPAddress {
    /// The host and port of `http://host:port`, perhaps with a last slash and nothing else.
    init?(ofPlainURL url: String) {
        guard let mark = url.firstRange(of: "://") else { return nil }
        var rest = url[mark.upperBound...]
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard !rest.contains(where: { $0 == "/" || $0 == "?" || $0 == "#" || $0 == "@" }) else { return nil }
        let hasPort = rest.hasSuffix("]") ? false : rest.contains(":")
        self.init(hasPort ? String(rest) : "\(rest):80")
    }
}
