import Glibc
import HTTPWire

/// What a path asks for.
enum Endpoint: UInt8, CaseIterable, Sendable {
    case chatCompletions
    case completions
    case embeddings
    case tokenize
    case detokenize
    case models
    case health

    /// Its path here and at the model server.
    var path: StaticString {
        switch self {
        case .chatCompletions: "/v1/chat/completions"
        case .completions: "/v1/completions"
        case .embeddings: "/v1/embeddings"
        case .tokenize: "/tokenize"
        case .detokenize: "/detokenize"
        case .models: "/v1/models"
        case .health: "/health"
        }
    }

    /// Whether a model server answers it.
    var isProxied: Bool {
        switch self {
        case .chatCompletions, .completions, .embeddings, .tokenize, .detokenize: true
        case .models, .health: false
        }
    }

    /// Whether it takes the model's time, and so is limited, queued and paid for.
    var isGeneration: Bool {
        switch self {
        case .chatCompletions, .completions, .embeddings: true
        default: false
        }
    }

    /// The value of its label in metrics.
    var label: String {
        switch self {
        case .chatCompletions: "chat_completions"
        case .completions: "completions"
        case .embeddings: "embeddings"
        case .tokenize: "tokenize"
        case .detokenize: "detokenize"
        case .models: "models"
        case .health: "health"
        }
    }

    /// - Parameter path: the path of a request; the tokeniser's are also found below `/v1`, beside the others.
    init?(path: UnsafeRawBufferPointer) {
        guard let found = Self.match(path) ?? Self.matchBelowVersion(path) else { return nil }
        self = found
    }

    private static let all = allCases.map { (path: $0.path, endpoint: $0) }

    private static func match(_ path: UnsafeRawBufferPointer) -> Endpoint? {
        guard let base = path.baseAddress else { return nil }
        return all.first { candidate in
            candidate.path.utf8CodeUnitCount == path.count && memcmp(base, candidate.path.utf8Start, path.count) == 0
        }?.endpoint
    }

    private static func matchBelowVersion(_ path: UnsafeRawBufferPointer) -> Endpoint? {
        let version: StaticString = "/v1/"
        guard let base = path.baseAddress, path.count > 4, memcmp(base, version.utf8Start, 4) == 0,
            let found = match(UnsafeRawBufferPointer(rebasing: path[3...])), found == .tokenize || found == .detokenize
        else { return nil }
        return found
    }
}
