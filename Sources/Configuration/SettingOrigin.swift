/// Where the value of a setting comes from.
package enum SettingOrigin: Hashable, Sendable, CustomStringConvertible {
    /// Nobody has set it.
    case standard
    case file(String, SourcePosition)
    case variable(String)
    /// A variable ending in `_FILE`, and the file it names.
    case secretFile(variable: String, path: String)

    package var description: String {
        switch self {
        case .standard: "default"
        case .file(let path, let position): "\(path):\(position.line)"
        case .variable(let name): name
        case .secretFile(let variable, let path): "\(variable) (\(path))"
        }
    }

    /// As ``ConfigurationProblem`` names a place.
    var place: (source: String, position: SourcePosition?) {
        switch self {
        case .standard: ("configuration", nil)
        case .file(let path, let position): (path, position)
        case .variable(let name): (name, nil)
        case .secretFile(let variable, _): (variable, nil)
        }
    }
}

/// One setting as it is in force; the value is fit to be shown.
package struct EffectiveSetting: Hashable, Sendable {
    /// Its path in the YAML file, such as `s3.endpoint`.
    package var key: String
    /// The environment variable that overrides it.
    package var variable: String
    package var value: String
    package var origin: SettingOrigin
}
