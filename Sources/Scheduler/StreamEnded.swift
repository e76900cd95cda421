/// A subscription came to an end although nobody ended it.
struct StreamEnded: Error, CustomStringConvertible {
    var description: String { "the subscription ended" }
}
