/// What this program is.
package enum BuildInfo {
    /// Follows semantic versioning; part of every model's lineage.
    package static let version = "0.1.0"
}
