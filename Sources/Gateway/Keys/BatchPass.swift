/// Who asks: a key, in person or by a batch.
struct Caller {
    /// Nil where no keys are asked for.
    let key: KeyState?
    /// Whether it takes spare capacity only.
    let isBatch: Bool
    /// Whether it is a copy for the candidate of a rollout, that nobody waits for and nobody pays.
    var isMirror = false
}

/// What this process shows to itself when it asks for a batch on behalf of a key, whose secret nobody keeps, or for a copy
/// that a rollout needs.
///
/// Made anew for every process, and sent over its own machine only.
struct BatchPass: Sendable {
    private static let secretLength = 64

    private let secret: [UInt8]

    init() {
        var generator = SystemRandomNumberGenerator()
        let digits = Array("0123456789abcdef".utf8)
        secret = (0..<Self.secretLength).map { _ in digits[Int.random(in: 0..<16, using: &generator)] }
    }

    /// The value of `Authorization` for a key's number; 0 without keys.
    func authorization(key: Int) -> String { "Batch \(String(decoding: secret, as: UTF8.self)).\(key)" }

    private static let mirrorName = "mirror"

    /// The value of `Authorization` for a copy.
    var mirrorAuthorization: String { "Batch \(String(decoding: secret, as: UTF8.self)).\(Self.mirrorName)" }

    enum Bearer: Equatable {
        case key(Int)
        case mirror
    }

    /// For whom the process asks; nil where it is not the process itself.
    func bearer(in value: UnsafeRawBufferPointer) -> Bearer? {
        let scheme: StaticString = "Batch "
        let start = scheme.utf8CodeUnitCount
        let end = start + Self.secretLength
        guard value.count > end + 1, value.count <= end + 20,
            value.prefix(start).elementsEqual(UnsafeBufferPointer(start: scheme.utf8Start, count: start)),
            value[end] == UInt8(ascii: ".")
        else { return nil }
        // All of it in any case: how long a comparison takes says nothing.
        var difference: UInt8 = 0
        for index in 0..<Self.secretLength { difference |= value[start + index] ^ secret[index] }
        guard difference == 0 else { return nil }
        let name = String(decoding: value[(end + 1)...], as: UTF8.self)
        return name == Self.mirrorName ? .mirror : Int(name).map { .key($0) }
    }
}
