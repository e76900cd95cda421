/// The head of an answer, and its body as it comes.
package struct HTTPResponse: Sendable {
    package let status: Int
    package let headers: HTTPHeaders

    /// Must be read to its end or dropped: until then the call holds its connection.
    package let body: HTTPResponseBody

    package var isSuccess: Bool {
        (200..<300).contains(status)
    }
}
