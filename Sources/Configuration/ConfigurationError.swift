/// Everything that is wrong with a file or with the settings of this process.
package struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    /// A stable word for programs; others may be added.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let description: String

        package init(_ description: String) {
            self.description = description
        }

        /// A file that is not there or cannot be read.
        package static let unreadable = Code("configuration.unreadable")
        /// Not YAML, or not within the limits.
        package static let malformed = Code("configuration.malformed")
        /// Well-formed, but not what is expected.
        package static let invalid = Code("configuration.invalid")
        /// A setting that the caller needs has no value.
        package static let missing = Code("configuration.missing")
        /// There is no pipeline of that name.
        package static let unknownPipeline = Code("configuration.unknown_pipeline")
    }

    package var code: Code
    /// Never empty; in the order of their places.
    package var problems: [ConfigurationProblem]

    package init(_ code: Code, _ problems: [ConfigurationProblem]) {
        self.code = code
        self.problems = problems
    }

    package init(_ code: Code, source: String, at position: SourcePosition? = nil, _ message: String) {
        self.init(code, [ConfigurationProblem(source: source, position: position, message: message)])
    }

    /// Always false: somebody has to change something first.
    package var isRetryable: Bool { false }

    /// One line for each problem.
    package var description: String {
        problems.map(\.description).joined(separator: "\n")
    }
}
