import Glibc

/// `--name value` pairs after the command's name.
struct Arguments {
    private let values: [String: String]

    init(_ words: ArraySlice<String>) throws {
        var values: [String: String] = [:]
        var rest = words
        while let name = rest.popFirst() {
            guard name.hasPrefix("--"), let value = rest.popFirst() else {
                throw BareError("\"\(name)\" is not --name with a value")
            }
            values[String(name.dropFirst(2))] = value
        }
        self.values = values
    }

    func text(_ name: String, default fallback: String? = nil) throws -> String {
        guard let value = values[name] ?? fallback else { throw BareError("--\(name) is missing") }
        return value
    }

    func number(_ name: String, default fallback: Int? = nil) throws -> Int {
        let word = try text(name, default: fallback.map(String.init))
        guard let value = Int(word), value >= 0 else { throw BareError("--\(name) is \"\(word)\", which is no count") }
        return value
    }

    /// The broker's address, in the environment because it holds a password.
    static func brokerURL() throws -> String {
        guard let value = getenv("BENCH_AMQP_URL") else { throw BareError("BENCH_AMQP_URL is not set") }
        return String(cString: value)
    }
}
