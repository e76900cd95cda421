package import Pipeline

/// Answers the paths of a gateway for which no model server is needed: files and batches.
package protocol GatewayService: Sendable {
    /// - Throws: ``GatewayError`` for what is the client's to know; anything else is logged and told as an error of the
    ///   server's.
    func answer(_ request: ServiceRequest) async throws -> ServiceAnswer
}

/// A request whose head was read; its body comes.
package struct ServiceRequest: Sendable {
    package enum Method: Sendable {
        case get
        case post
        case delete
        case other
    }

    package let method: Method
    /// As it was sent, without the query.
    package let path: String
    /// What follows the question mark.
    package let query: String
    package let contentType: String?
    package let body: ServiceBody
    /// Whose request it is; nil where the gateway asks for no keys.
    package let key: APIKey?
}

/// An answer to a request.
package struct ServiceAnswer: Sendable {
    package enum Content: Sendable {
        /// A JSON text.
        case json(String)
        /// So many bytes, as they come.
        case bytes(length: Int64, any AsyncSequence<[UInt8], any Error> & Sendable)
    }

    package let status: Int
    package let content: Content

    package init(status: Int = 200, _ content: Content) {
        self.status = status
        self.content = content
    }
}
