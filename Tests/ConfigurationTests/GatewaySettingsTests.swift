import Testing

@testable import Configuration

@Suite struct GatewaySettingsTests {
    private func settings(_ yaml: String, _ environment: [String: String] = [:]) throws -> MartletConfiguration {
        // What a stack of this checkout says of itself must not count here.
        let own = environment.merging(["MARTLET_STATE": "/nonexistent"]) { given, _ in given }
        return try MartletConfiguration.parse(yaml: yaml, file: "martlet.yaml", environment: own)
    }

    @Test func replicasAndPricesAreRead() throws {
        let yaml = """
            gateway:
              address: 0.0.0.0:9000
              keys: optional
              replicas:
                - {model: security-qa, version: "7", aliases: [champion], url: "http://10.0.0.7:8000", max_in_flight: 8}
                - {model: a/b, version: 1, url: "http://[::1]/", served_name: other}
                - {model: a/b, version: 2, url: "dns://engines.example:8001"}
              prices:
                - {model: "*", hour: 2.5, prompt_rate: 20000, completion_rate: 1500}
            """
        let gateway = try settings(yaml, ["MARTLET_GATEWAY_UPSTREAM_KEY": "secret"]).gateway
        #expect(gateway.address == HTTPAddress(host: "0.0.0.0", port: 9_000) && gateway.keys == .optional)
        #expect(
            gateway.replicas == [
                MartletConfiguration.Gateway.Replica(
                    model: "security-qa", version: "7", aliases: ["champion"], host: "10.0.0.7", port: 8_000,
                    servedName: "security-qa", maximumInFlight: 8),
                MartletConfiguration.Gateway.Replica(
                    model: "a/b", version: "1", aliases: [], host: "::1", port: 80, servedName: "other",
                    maximumInFlight: 256),
                MartletConfiguration.Gateway.Replica(
                    model: "a/b", version: "2", aliases: [], host: "engines.example", port: 8_001, isName: true,
                    servedName: "a/b", maximumInFlight: 256),
            ])
        #expect(
            gateway.prices.count == 1 && gateway.prices[0].cachedRate == 20_000
                && gateway.upstreamKey?.value == "secret")
        let standard = try settings("{}").gateway
        #expect(standard.replicas.isEmpty && standard.keys == .required && standard.address.port == 8_000)
    }

    @Test func coalescingIsAWordAndNoTruth() throws {
        // YAML 1.1 reads on and off as truths.
        for (text, mode) in [("on", MartletConfiguration.Gateway.Coalescing.on), ("off", .off), ("auto", .auto)] {
            #expect(try settings("gateway: {coalescing: \(text), answer_cache_mib: 8}").gateway.coalescing == mode)
        }
        #expect(try settings("{}").gateway.coalescing == .auto)
    }

    @Test func whatVLLMGetsComesFromAList() throws {
        let serving = try settings("serving: {arguments: [--max-model-len, \"2048\"], max_in_flight: 9}").serving
        #expect(serving.arguments == ["--max-model-len", "2048"] && serving.maximumInFlight == 9)
        #expect(
            try settings("{}", ["MARTLET_SERVING_ARGUMENTS": "--enforce-eager,--seed,7"]).serving.arguments
                == ["--enforce-eager", "--seed", "7"])
    }

    @Test(arguments: [
        ("gateway: {replicas: {model: m}}", "must be a list"), ("gateway: {replicas: [{model: m}]}", "needs a version"),
        ("gateway: {replicas: [{model: m, version: 1}]}", "needs a url"),
        ("gateway: {replicas: [{model: m, version: 1, url: \"https://h\"}]}", "scheme"),
        ("gateway: {replicas: [{model: m, version: 1, url: \"http://h/v1\"}]}", "host and a port only"),
        ("gateway: {replicas: [{model: \"m m\", version: 1, url: \"http://h\"}]}", "needs a model"),
        ("gateway: {replicas: [{model: m, version: 1, url: \"http://h\", aliases: x}]}", "list of aliases"),
        ("gateway: {replicas: [{model: m, version: 1, url: \"http://h\", max_in_flight: 0}]}", "max_in_flight"),
        ("gateway: {replicas: [{model: m, version: 1, url: \"http://h\", weight: 2}]}", "no key \"weight\""),
        ("gateway: {prices: [{model: m}]}", "needs hour"), ("gateway: {prices: [{model: m, hour: -1}]}", "needs hour"),
        ("gateway: {prices: [{model: m, hour: 1}]}", "prompt_rate"), ("gateway: {adress: x}", "adress"),
        ("gateway: {keys: none}", "gateway.keys"), ("gateway: {max_body: 1}", "gateway.max_body"),
    ])
    func wrongSettingsAreNamed(_ yaml: String, message: String) {
        #expect { try settings(yaml) } throws: { error in
            (error as? ConfigurationError)?.description.contains(message) == true
        }
    }
}
