/// Identifies a run: `r` and 15 characters of Crockford's base 32, in the order of their making.
package struct RunID: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package let description: String

    package init(_ text: String) {
        description = text
    }

    /// A new id: 40 bits of milliseconds since 2025, which last until 2059, and 35 random bits.
    package init(at time: Timestamp, using generator: inout some RandomNumberGenerator) {
        let milliseconds = UInt64(bitPattern: time.microseconds / 1_000 - 1_735_689_600_000) & ((1 << 40) - 1)
        let random: UInt64 = generator.next() & ((1 << 35) - 1)
        let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz")
        var text = "r"
        for shift in stride(from: 35, through: 0, by: -5) {
            text.append(alphabet[Int((milliseconds >> UInt64(shift)) & 31)])
        }
        for shift in stride(from: 30, through: 0, by: -5) {
            text.append(alphabet[Int((random >> UInt64(shift)) & 31)])
        }
        description = text
    }

    package init(from decoder: any Decoder) throws {
        description = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    package static func < (left: RunID, right: RunID) -> Bool {
        left.description < right.description
    }
}

/// Identifies a task: one stage of one run. Spelled `run/stage`.
package struct TaskID: Hashable, Sendable, Codable, CustomStringConvertible {
    package var run: RunID
    package var stage: String

    package init(run: RunID, stage: String) {
        self.run = run
        self.stage = stage
    }

    package var description: String { run.description + "/" + stage }
}

/// Names one claim of one attempt. A result counts only with the token that its claim returned.
package struct ClaimToken: Hashable, Sendable, Codable, CustomStringConvertible {
    package let description: String

    package init(_ text: String) {
        description = text
    }

    package init(from decoder: any Decoder) throws {
        description = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
