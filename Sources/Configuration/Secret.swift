/// A value that must not be seen. It prints as dots wherever it is interpolated, dumped or reflected.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The secret itself: for the call that needs it, and nothing else.
    package let value: String

    package init(_ value: String) {
        self.value = value
    }

    package var description: String { "••••••" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
