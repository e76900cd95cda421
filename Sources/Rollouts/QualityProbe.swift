package import Coordination
package import HTTPTransport
package import Pipeline

/// Asks a version's engine how likely it finds the right answer to a question: the loss of its tokens, in nats each.
///
/// Not by what it writes: of two small models the better one shows in the loss long before it shows in the words.
package struct QualityProbe: Sendable {
    /// Why there is no loss.
    package enum Fault: Error {
        /// No engine of the version is known.
        case nowhere
        /// The engine did not answer, or with an error.
        case unanswered(String)
        /// The engine answered that it cannot be asked this.
        case refused(String)
    }

    private let coordinator: Coordinator
    private let transport: HTTPTransport
    private let credential: String?

    private static let timeouts = HTTPTimeouts(
        connect: .seconds(2), firstByte: .seconds(60), idle: .seconds(30), total: .seconds(90))
    private static let answerLimit = 32 << 20
    /// As much as a loss counts at most: what is no number is not infinitely bad, but bad enough.
    static let worst = 50.0

    /// - Parameter credential: what engines want as a bearer token.
    package init(coordinator: Coordinator, transport: HTTPTransport, credential: String?) {
        self.coordinator = coordinator
        self.transport = transport
        self.credential = credential
    }

    /// The loss of the answer's tokens, in nats for each of them.
    package func loss(
        of example: HeldOutPrompts.Example, model: String, version: String
    ) async throws -> Double {
        guard let replica = try await replica(of: model, version: version) else { throw Fault.nowhere }
        let host = replica.host.contains(":") ? "[\(replica.host)]" : replica.host
        let base = "http://\(host):\(replica.port)"
        func message(_ role: String, _ text: String) -> JSONValue {
            .object(["role": .string(role), "content": .string(text)])
        }
        let asked =
            (example.system.map { [message("system", $0)] } ?? []) + [message("user", example.question)]
        let count = try await post(
            base + "/tokenize",
            ["model": .string(replica.servedName), "messages": .array(asked), "add_generation_prompt": .bool(true)]
        )["count"]?.intValue
        guard let count else { throw Fault.unanswered("the engine does not say how many tokens the question has") }
        let answer = try await post(
            base + "/v1/chat/completions",
            [
                "model": .string(replica.servedName),
                "messages": .array(asked + [message("assistant", example.answer)]),
                "add_generation_prompt": .bool(false), "continue_final_message": .bool(true), "max_tokens": .int(1),
                "temperature": .int(0), "prompt_logprobs": .int(0),
            ])
        guard let tokens = answer["prompt_logprobs"]?.arrayValue, tokens.count > Int(count) else {
            throw Fault.unanswered("the engine does not say how likely the answer's tokens are")
        }
        let losses = tokens.dropFirst(Int(count)).map { token -> Double in
            let likelihood = token.objectValue?.values.first?["logprob"]?.doubleValue
            return min(Self.worst, max(0, -(likelihood ?? -Self.worst)))
        }
        return losses.reduce(0, +) / Double(losses.count)
    }

    /// Whether the candidate of a rollout still has to start: the old version's engine is known, and its own is not.
    package func isAwaited(_ rollout: Rollout) async throws -> Bool {
        guard try await replica(of: rollout.model, version: rollout.candidate) == nil else { return false }
        return try await replica(of: rollout.model, version: rollout.baseline) != nil
    }

    private func replica(of model: String, version: String) async throws -> ReplicaRecord? {
        try await coordinator.replicas().first { $0.model == model && $0.version == version && $0.state == .ready }
    }

    private func post(_ url: String, _ body: [String: JSONValue]) async throws -> JSONValue {
        var headers = [HTTPHeader("content-type", "application/json")]
        if let credential { headers.append(HTTPHeader("authorization", "Bearer \(credential)")) }
        let response = try await transport.send(
            HTTPRequest(
                method: "POST", url: url, headers: headers,
                body: .bytes(Array(JSONValue.object(body).canonicalJSON.utf8)), timeouts: Self.timeouts, retry: .none,
                proxy: .direct))
        let bytes = try await response.body.collect(upTo: Self.answerLimit)
        guard response.status == 200 else {
            let said = "HTTP \(response.status): \(String(decoding: bytes.prefix(200), as: UTF8.self))"
            // Of the request itself; a key that it wants, or a name that it does not know, says nothing of the model.
            throw [400, 413, 422].contains(response.status) ? Fault.refused(said) : Fault.unanswered(said)
        }
        do {
            return try JSONValue(json: bytes)
        } catch {
            // A model whose numbers are none writes NaN, which is no JSON.
            return .object(["prompt_logprobs": .array(Array(repeating: .null, count: 1 << 16))])
        }
    }
}
