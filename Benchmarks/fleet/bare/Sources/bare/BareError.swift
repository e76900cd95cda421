/// What went wrong, for the person at the terminal.
struct BareError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
