/// How log lines look.
package enum LogFormat: String, CaseIterable, Sendable {
    /// `console` when standard error is a terminal, else `json`.
    case auto
    /// One JSON object per line.
    case json
    /// Aligned and coloured, for people.
    case console
}
