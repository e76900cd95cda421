/// One value of a metric.
package struct MLflowMetric: Sendable, Hashable, Codable {
    package var key: String
    /// May be non-finite. MLflow's database keeps NaN and gives the infinities back as ±1.797…e308.
    package var value: Double
    /// Milliseconds since 1970, UTC.
    package var timestamp: Int64
    package var step: Int64

    package init(key: String, value: Double, timestamp: Int64, step: Int64 = 0) {
        self.key = key
        self.value = value
        self.timestamp = timestamp
        self.step = step
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        key = try container.decode(String.self, forKey: .key)
        value = try container.decodeIfPresent(Double.self, forKey: .value) ?? 0
        timestamp = try container.integer(.timestamp) ?? 0
        step = try container.integer(.step) ?? 0
    }
}

extension KeyedDecodingContainer {
    /// A 64-bit integer as a number or, as protocol buffers spell it in JSON, as a string.
    func integer(_ key: Key) throws -> Int64? {
        guard contains(key), try !decodeNil(forKey: key) else { return nil }
        if let number = try? decode(Int64.self, forKey: key) { return number }
        let text = try decode(String.self, forKey: key)
        guard let number = Int64(text) else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "'\(text)' is no integer")
        }
        return number
    }
}
