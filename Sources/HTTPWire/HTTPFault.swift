/// Why bytes are not an HTTP/1.1 message that is passed on, with the status that says so to the sender.
package struct HTTPFault: Error, Equatable, CustomStringConvertible {
    /// The status of the answer, as of RFC 9110.
    package let status: Int
    /// What is wrong, for the sender.
    package let message: String

    package init(_ status: Int, _ message: String) {
        self.status = status
        self.message = message
    }

    package var description: String { "\(status): \(message)" }
}
