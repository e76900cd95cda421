import Pipeline

/// Collects what is wrong with one file, so that all of it is told at once.
final class ProblemList {
    /// More than anybody puts right in one go.
    static let maximum = 200

    let file: String
    private var problems: [ConfigurationProblem] = []
    private var seen: Set<ConfigurationProblem> = []
    private var dropped = 0

    init(file: String) {
        self.file = file
    }

    func report(_ message: String, at position: SourcePosition?) {
        let problem = ConfigurationProblem(source: file, position: position, message: message)
        guard seen.insert(problem).inserted else { return }
        guard problems.count < Self.maximum else {
            seen.remove(problem)
            dropped += 1
            return
        }
        problems.append(problem)
    }

    /// In the order of their places.
    var sorted: [ConfigurationProblem] {
        let start = SourcePosition(line: 0, column: 0)
        let order = problems.indices.sorted { left, right in
            let (first, second) = (problems[left].position ?? start, problems[right].position ?? start)
            return first == second ? left < right : first < second
        }
        let rest = ConfigurationProblem(source: file, message: "and \(dropped) more problems like these")
        return order.map { problems[$0] } + (dropped > 0 ? [rest] : [])
    }

    func throwIfAny() throws(ConfigurationError) {
        guard problems.isEmpty else { throw ConfigurationError(.invalid, sorted) }
    }
}
