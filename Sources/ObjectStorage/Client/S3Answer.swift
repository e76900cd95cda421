import HTTPTransport

/// A complete answer of the store, 2xx.
struct S3Answer: Sendable {
    let headers: HTTPHeaders
    let body: [UInt8]

    var putResult: S3PutResult {
        S3PutResult(etag: headers["ETag"], versionID: headers["x-amz-version-id"])
    }

    /// Looks at the beginning before it parses: listings are long, errors are not.
    var isErrorDocument: Bool {
        guard body.first == UInt8(ascii: "<"), body.count < 64 << 10,
            String(decoding: body.prefix(512), as: UTF8.self).contains("<Error"),
            let root = try? XMLParser.parse(body)
        else { return false }
        return root.name == "Error"
    }

    /// The parsed body.
    /// - Throws: `S3Error` with code `.badAnswer`.
    func document(_ root: String) throws -> XMLNode {
        do {
            let node = try XMLParser.parse(body)
            guard node.name == root else {
                throw S3Error(
                    code: .badAnswer,
                    message: "expected <\(root)> but the answer is <\(node.name)>; is the endpoint an S3 store?")
            }
            return node
        } catch let error as XMLParser.Failure {
            throw S3Error(
                code: .badAnswer, message: "expected <\(root)>: \(error); is the endpoint an S3 store?", cause: error)
        }
    }
}
