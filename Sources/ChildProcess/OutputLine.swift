/// One line a child wrote, without its line end.
package struct OutputLine: Hashable, Sendable {
    /// The text; bytes that are not UTF-8 are replaced by U+FFFD.
    package let text: String
    /// True when the line was longer than the limit and `text` holds only its beginning.
    package let isTruncated: Bool
}
