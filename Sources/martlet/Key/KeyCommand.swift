import ArgumentParser
import Configuration
import Crypto
import Foundation
import Ledger
import Pipeline

struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "API keys of the gateway: who may ask what, how much, until when.",
        discussion: """
              martlet key create alice --team research --rpm 600 --tpm 200000
              martlet key list
              martlet key set alice --budget 50 --models security-qa
              martlet key revoke alice

            A change is in force within a second on every gateway.
            """,
        subcommands: [KeyCreateCommand.self, KeyListCommand.self, KeySetCommand.self, KeyRevokeCommand.self])
}

/// What a key may do, as options.
struct KeyLimitOptions: ParsableArguments {
    @Option(help: "Models it may ask, with commas between them and without version; all without this option.")
    var models: String?

    @Option(help: "Requests in a minute.")
    var rpm: Int?

    @Option(help: "Tokens in a minute, the prompts' and the answers'.")
    var tpm: Int?

    @Option(help: "Requests at the same time.")
    var concurrent: Int?

    @Option(help: "What it may spend in a month, in the currency of the price table.")
    var budget: Double?

    @Option(help: "0 is served before 1, and 1 before 2.")
    var priority: Int?

    @Option(help: "When the other gateways cannot be asked: open lets its requests pass, closed refuses them.")
    var onLimitFailure: APIKey.LimitFailure?

    @Option(help: "A day (2026-12-31) or a moment (2026-12-31T12:00:00Z) from which it is refused.")
    var expires: String?

    func validate() throws {
        for (name, value) in [("--rpm", rpm), ("--tpm", tpm), ("--concurrent", concurrent)] {
            guard value.map({ (1...1_000_000_000).contains($0) }) ?? true else {
                throw ValidationError("\(name) must be from 1 to 1000000000.")
            }
        }
        guard budget.map({ $0 >= 0 && $0 <= 1e9 }) ?? true else {
            throw ValidationError("--budget must be from 0 to 1000000000.")
        }
        guard priority.map({ APIKey.priorities.contains($0) }) ?? true else {
            throw ValidationError("--priority must be 0, 1 or 2.")
        }
        if let expires { _ = try Self.moment(expires) }
        if let models, models.split(separator: ",").allSatisfy({ $0.allSatisfy(\.isWhitespace) }) {
            throw ValidationError("--models names no model; without the option the key may ask all.")
        }
    }

    /// Changes what an option was given for.
    func apply(to limits: inout APIKey.Limits) throws {
        if let models {
            limits.models = models.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        }
        if let rpm { limits.requestsPerMinute = rpm }
        if let tpm { limits.tokensPerMinute = tpm }
        if let concurrent { limits.concurrent = concurrent }
        if let budget { limits.monthlyBudget = Int64((budget * 1_000_000).rounded()) }
        if let priority { limits.priority = priority }
        if let onLimitFailure { limits.onFailure = onLimitFailure }
        if let expires { limits.expires = try Self.moment(expires) }
    }

    /// Whether an option was given for it.
    func sets(_ limit: KeyLimit) -> Bool {
        switch limit {
        case .models: models != nil
        case .rpm: rpm != nil
        case .tpm: tpm != nil
        case .concurrent: concurrent != nil
        case .budget: budget != nil
        case .expires: expires != nil
        }
    }

    /// - Parameter label: what it is, for people.
    static func check(_ name: String, _ label: String) throws {
        guard (1...64).contains(name.utf8.count), NameRule.isStage(name) else {
            throw ValidationError("\(label) must be of lower-case letters, digits, - and _, 64 at most.")
        }
    }

    private static func moment(_ text: String) throws -> Timestamp {
        if let moment = Timestamp(rfc3339: text) ?? Timestamp(rfc3339: text + "T00:00:00Z") { return moment }
        throw ValidationError("\(text): write --expires as 2026-12-31 or 2026-12-31T12:00:00Z.")
    }
}

extension APIKey.LimitFailure: ExpressibleByArgument {}

/// What a key may be without.
enum KeyLimit: String, ExpressibleByArgument, CaseIterable {
    case models
    case rpm
    case tpm
    case concurrent
    case budget
    case expires

    func lift(from limits: inout APIKey.Limits) {
        switch self {
        case .models: limits.models = []
        case .rpm: limits.requestsPerMinute = nil
        case .tpm: limits.tokensPerMinute = nil
        case .concurrent: limits.concurrent = nil
        case .budget: limits.monthlyBudget = nil
        case .expires: limits.expires = nil
        }
    }
}

/// A key for people and programs, without what opens anything.
private struct KeyRow: Encodable {
    var id: Int
    var name: String
    var team: String
    var models: [String]
    var requestsPerMinute: Int?
    var tokensPerMinute: Int?
    var concurrent: Int?
    var monthlyBudget: Double?
    var monthlySpent: Double
    var priority: Int
    var onLimitFailure: String
    var expires: String?
    var created: String
    var revoked: String?

    init(_ key: APIKey) {
        id = key.id
        name = key.name
        team = key.team
        models = key.limits.models
        requestsPerMinute = key.limits.requestsPerMinute
        tokensPerMinute = key.limits.tokensPerMinute
        concurrent = key.limits.concurrent
        monthlyBudget = key.limits.monthlyBudget.map { Double($0) / 1_000_000 }
        monthlySpent = Double(key.monthlySpent) / 1_000_000
        priority = key.limits.priority
        onLimitFailure = key.limits.onFailure.rawValue
        expires = key.limits.expires?.description
        created = key.created.description
        revoked = key.revoked?.description
    }
}

struct KeyCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Makes a key and prints it: this once, it is kept nowhere.",
        discussion: """
              martlet key create alice --team research
              martlet key create nightly --priority 2 --tpm 1000000 --expires 2027-01-01
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions
    @OptionGroup var limits: KeyLimitOptions

    @Argument(help: "Names it in lists, reports and costs.")
    var name: String

    @Option(help: "Whose costs it counts to.")
    var team = "default"

    func validate() throws {
        for (label, value) in [("The name", name), ("--team", team)] { try KeyLimitOptions.check(value, label) }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet key").ledger(connections: 1)
            var own = APIKey.Limits()
            try limits.apply(to: &own)
            let secret = Self.makeSecret()
            let digest = Array(SHA256.hash(data: Data(secret.utf8)))
            try await ledger.migrate()
            _ = try await ledger.createKey(
                name: name, team: team, digest: digest, limits: own, actor: Actor.name)
            switch format.output {
            case .table: print(secret)
            case .json: print(try JSONText.of(["name": name, "team": team, "key": secret]))
            }
        }
    }

    /// 256 random bits. The beginning tells scanners of code and logs what they have found.
    private static func makeSecret() -> String {
        let bytes = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
        let text = bytes.base64EncodedString().map { character -> String in
            switch character {
            case "+": "-"
            case "/": "_"
            case "=": ""
            default: String(character)
            }
        }
        return "sk-martlet-" + text.joined()
    }
}

struct KeyListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists keys with what they may do and what they spent this month.",
        discussion: """
              martlet key list
              martlet key list --all --output json
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var format: OutputOptions

    @Flag(help: "Revoked ones too.")
    var all = false

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet key").ledger(connections: 1)
            let keys = try await ledger.keys(withRevoked: all).map(KeyRow.init)
            switch format.output {
            case .json: print(try JSONText.of(keys))
            case .table:
                var table = Table([
                    "NAME", "TEAM", "MODELS", "RPM", "TPM", "CONCURRENT", "SPENT", "BUDGET", "PRIORITY", "EXPIRES",
                ])
                func number(_ value: Int?) -> String { value.map { String($0) } ?? "-" }
                for key in keys {
                    let end = key.revoked.map { "revoked \($0)" } ?? key.expires ?? "-"
                    table.add([
                        key.name, key.team, key.models.isEmpty ? "all" : key.models.joined(separator: ","),
                        number(key.requestsPerMinute), number(key.tokensPerMinute), number(key.concurrent),
                        NumberText.short(key.monthlySpent), key.monthlyBudget.map { NumberText.short($0) } ?? "-",
                        String(key.priority), end,
                    ])
                }
                print(table.text, terminator: "")
            }
        }
    }
}

struct KeySetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Changes what a key may do; what no option is given for stays.",
        discussion: """
              martlet key set alice --rpm 1200
              martlet key set alice --lift budget --lift expires
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var limits: KeyLimitOptions

    @Argument(help: "The key's name.")
    var name: String

    @Option(help: "Whose costs it counts to.")
    var team: String?

    @Option(
        help:
            "A limit that it has no more: models, rpm, tpm, concurrent, budget or expires; may be given more than once."
    )
    var lift: [KeyLimit] = []

    func validate() throws {
        if let team { try KeyLimitOptions.check(team, "--team") }
        for limit in lift where limits.sets(limit) {
            throw ValidationError("--lift \(limit.rawValue) and --\(limit.rawValue) contradict each other.")
        }
    }

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet key").ledger(connections: 1)
            guard var key = try await ledger.keys().first(where: { $0.name == name }) else {
                throw LedgerError.noKey(name)
            }
            try limits.apply(to: &key.limits)
            for limit in lift { limit.lift(from: &key.limits) }
            try await ledger.updateKey(
                name: name, team: team ?? key.team, limits: key.limits, actor: Actor.name)
            print("\(name): changed")
        }
    }
}

struct KeyRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Ends a key for ever; refused everywhere within a second.",
        discussion: """
              martlet key revoke alice
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The key's name.")
    var name: String

    func run() async throws {
        try await ExitCodes.guarding {
            let ledger = try Services(quiet: try global.load(), name: "martlet key").ledger(connections: 1)
            try await ledger.revokeKey(name: name, actor: Actor.name)
            print("\(name): revoked")
        }
    }
}
