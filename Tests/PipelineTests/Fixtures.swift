import Pipeline

/// A small generator whose sequence is fixed by its seed (SplitMix64, https://prng.di.unimi.it/splitmix64.c), so that
/// a failing case can be had again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

extension StageSpec {
    static func noop(_ name: String, needs: [String] = [], when condition: StageCondition = .onSuccess) -> StageSpec {
        StageSpec(name: name, kind: "noop", needs: needs, condition: condition)
    }
}

func time(_ text: String) -> Timestamp {
    Timestamp(rfc3339: text) ?? Timestamp(microseconds: .min)
}

/// The message of the ``PipelineError`` that `body` throws; nil when it throws none.
func refusal<Value>(_ body: () throws(PipelineError) -> Value) -> String? {
    do {
        _ = try body()
        return nil
    } catch {
        return error.message
    }
}
