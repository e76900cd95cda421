import Glibc
import NIOCore

/// What makes requests one call: that they are the same, or the same but for their prompts.
///
/// Only requests of one key, on one event loop, that are not streamed.
struct JointKey: Hashable, Sendable {
    /// The same for requests that are equal and have one right answer; 0 where there may be several.
    let identical: UInt64
    /// The same for requests that differ in their prompt only; 0 where their prompts cannot stand together in one call.
    let similar: UInt64
    let isBatch: Bool

    /// The member by which vLLM is asked for the tokens themselves, so that each answer's can be counted.
    static let tokensMember: StaticString = "\"return_token_ids\""

    /// - Parameter isJoining: whether calls with several prompts are made at all.
    /// - Returns: nil for a request that is answered by itself.
    init?(
        _ endpoint: Endpoint, _ inspection: BodyInspection, _ body: ByteBuffer, deployment: Int, key: Int,
        loop: UInt64, isBatch: Bool, isJoining: Bool
    ) {
        guard !inspection.isStream, endpoint.isGeneration else { return nil }
        let isDeterministic = endpoint == .embeddings || inspection.isGreedy
        let canJoin =
            isJoining && (endpoint == .completions || endpoint == .embeddings) && inspection.prompts == 1
            && !inspection.prompt.isEmpty
        guard isDeterministic || canJoin else { return nil }
        let seed = Hash.mix(
            Hash.mix(loop ^ UInt64(deployment) << 32 ^ UInt64(key)) ^ UInt64(endpoint.rawValue))
        var identical: UInt64 = 0
        var similar: UInt64 = 0
        body.withUnsafeReadableBytes { bytes in
            if isDeterministic { identical = Hash.mix(seed ^ Hash.of(memory: bytes)) | 1 }
            guard canJoin, Self.holdsOnePrompt(bytes, inspection.prompt),
                !EventStreamFilter.holds(bytes, Self.tokensMember), !EventStreamFilter.holds(bytes, "\"best_of\""),
                !(EventStreamFilter.holds(bytes, "\"prompt\"") && EventStreamFilter.holds(bytes, "\"input\""))
            else { return }
            let before = Hash.of(memory: UnsafeRawBufferPointer(rebasing: bytes[..<inspection.prompt.lowerBound]))
            let after = Hash.of(memory: UnsafeRawBufferPointer(rebasing: bytes[inspection.prompt.upperBound...]))
            // Texts and numbers of tokens cannot stand in one list.
            let kind = UInt64(bytes[inspection.prompt.lowerBound])
            similar = Hash.mix(seed ^ before &+ Hash.mix(after ^ kind)) | 1
        }
        guard identical != 0 || similar != 0 else { return nil }
        self.identical = identical
        self.similar = similar
        self.isBatch = isBatch
    }

    /// Whether a prompt is a text, or the numbers of its tokens: `["text"]` is a list already.
    private static func holdsOnePrompt(_ bytes: UnsafeRawBufferPointer, _ prompt: Range<Int>) -> Bool {
        if bytes[prompt.lowerBound] == UInt8(ascii: "\"") { return true }
        guard bytes[prompt.lowerBound] == UInt8(ascii: "[") else { return false }
        let first = bytes[prompt].dropFirst().first { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
        return first.map { $0 &- 0x30 < 10 } ?? false
    }
}

extension ClientRequest {
    /// Whether another request is the same, byte by byte.
    func isIdentical(to other: ClientRequest) -> Bool {
        guard let own = joint, let its = other.joint, own.identical != 0, own.identical == its.identical else {
            return false
        }
        return body == other.body && endpoint == other.endpoint && deployment.id == other.deployment.id
    }

    /// Whether another request is the same but for its prompt, byte by byte.
    func isSimilar(to other: ClientRequest) -> Bool {
        guard let own = joint, let its = other.joint, own.similar != 0, own.similar == its.similar,
            endpoint == other.endpoint, deployment.id == other.deployment.id
        else { return false }
        return frame == other.frame
    }

    /// The body before and after the prompt.
    private var frame: [ByteBuffer?] {
        let prompt = inspection.prompt
        let start = body.readerIndex
        return [
            body.getSlice(at: start, length: prompt.lowerBound),
            body.getSlice(at: start + prompt.upperBound, length: body.readableBytes - prompt.upperBound),
        ]
    }
}
