/// A file or folder among a run's artifacts.
package struct MLflowArtifact: Sendable, Hashable {
    /// Relative to the run's artifact root.
    package var path: String
    package var isDirectory: Bool
    /// Bytes; nil for folders.
    package var size: Int64?
}
