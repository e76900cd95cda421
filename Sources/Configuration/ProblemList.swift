import Pipeline

/// Collects what is wrong with one file, so that all of it is told at once.
final class ProblemList {
    let file: String
    private(set) var problems: [ConfigurationProblem] = []

    init(file: String) {
        self.file = file
    }

    func report(_ message: String, at position: SourcePosition?) {
        let problem = ConfigurationProblem(source: file, position: position, message: message)
        if !problems.contains(problem) { problems.append(problem) }
    }

    /// In the order of their places.
    var sorted: [ConfigurationProblem] {
        let start = SourcePosition(line: 0, column: 0)
        let order = problems.indices.sorted { left, right in
            let (first, second) = (problems[left].position ?? start, problems[right].position ?? start)
            return first == second ? left < right : first < second
        }
        return order.map { problems[$0] }
    }

    func throwIfAny() throws(ConfigurationError) {
        guard problems.isEmpty else { throw ConfigurationError(.invalid, sorted) }
    }
}
