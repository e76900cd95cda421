import HTTPTransport
import Logging

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Sending, repeating, and JSON.
extension MLflowClient {
    private static let largestAnswer = 64 << 20

    /// A GET whose parameters are in the query.
    func get<Answer: Decodable>(_ operation: String, query: [(String, String)]) async throws -> Answer {
        let call = MLflowCall(operation, method: "GET", url: url(operation, query: query))
        return try decode(try await send(call), operation: operation)
    }

    /// A call whose parameters are a JSON body.
    @discardableResult
    func post<Answer: Decodable>(
        _ operation: String, method: String = "POST", _ body: some Encodable,
        repetition: MLflowCall.Repetition = .harmless
    ) async throws -> Answer {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        let bytes = Array(try encoder.encode(body))
        let call = MLflowCall(
            operation, method: method, url: url(operation, query: []),
            headers: [HTTPHeader("Content-Type", "application/json")], body: .bytes(bytes), repetition: repetition)
        return try decode(try await send(call), operation: operation)
    }

    /// The body of a 2xx answer.
    func send(_ call: MLflowCall) async throws -> [UInt8] {
        try await retrying(call) { try await self.sendOnce(call) }
    }

    func sendOnce(_ call: MLflowCall) async throws -> [UInt8] {
        do {
            let response = try await transport.send(request(call))
            guard response.isSuccess else {
                throw MLflowError.from(
                    status: response.status, body: try await response.body.prefix(bytes: 64 << 10),
                    operation: call.operation)
            }
            return try await response.body.collect(upTo: Self.largestAnswer)
        } catch {
            throw MLflowError.wrap(error, operation: call.operation)
        }
    }

    func request(_ call: MLflowCall) -> HTTPRequest {
        var headers = call.headers
        switch configuration.authentication {
        case .none: break
        case .basic(let user, let password):
            let joined = Data("\(user):\(password)".utf8).base64EncodedString()
            headers.append(HTTPHeader("Authorization", "Basic \(joined)"))
        case .bearer(let token): headers.append(HTTPHeader("Authorization", "Bearer \(token)"))
        }
        return HTTPRequest(
            method: call.method, url: call.url, headers: headers, body: call.body,
            timeouts: HTTPTimeouts(
                connect: configuration.connectTimeout, firstByte: configuration.firstByteTimeout),
            // Which failures may be repeated depends on the operation, not on the method: decided here.
            retry: .none)
    }

    /// Runs `body` until it succeeds, fails for good, or has failed often enough.
    func retrying<Result>(_ call: MLflowCall, _ body: () async throws -> Result) async throws -> Result {
        var failures = 0
        while true {
            do {
                return try await body()
            } catch {
                try Task.checkCancellation()
                let wrapped = MLflowError.wrap(error, operation: call.operation)
                guard let failure = wrapped as? MLflowError else { throw wrapped }
                failures += 1
                let mayRepeat =
                    switch call.repetition {
                    case .harmless: failure.isRetryable
                    case .onlyIfUnsent: failure.wasNotSent && failure.isRetryable
                    }
                guard mayRepeat, failures < configuration.maximumAttempts else { throw failure }
                logger.debug(
                    "trying again",
                    metadata: [
                        "operation": "\(call.operation)", "failures": "\(failures)", "error": "\(failure)",
                    ])
                let bound = min(configuration.baseDelay * (1 << min(failures - 1, 16)), configuration.maximumDelay)
                try await Task.sleep(for: bound * Double.random(in: 0.5...1))
            }
        }
    }

    func url(_ operation: String, query: [(String, String)]) -> String {
        let text = query.map { "\(URLText.encode($0.0))=\(URLText.encode($0.1))" }.joined(separator: "&")
        return "\(base)/api/2.0/mlflow/\(operation)" + (text.isEmpty ? "" : "?\(text)")
    }

    func decode<Answer: Decodable>(_ body: [UInt8], operation: String) throws -> Answer {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        do {
            return try decoder.decode(Answer.self, from: Data(body))
        } catch {
            throw MLflowError(
                code: .badAnswer,
                message: "the answer is not what MLflow documents; is the address that of an MLflow server? (\(error))",
                operation: operation, cause: error)
        }
    }
}
