/// Pipelines with quick stages.
enum TestPipelines {
    /// A stage that takes its time; see `Programs/stage.py`.
    static func stage(
        _ name: String, seconds: Double, needs: [String] = [], ack: String = "on-result", attempts: Int = 12,
        neededFile: String? = nil, script: String, journal: String
    ) -> String {
        let more = neededFile.map { ", \"\($0)\"" } ?? ""
        return """
              - name: \(name)
                kind: command
                needs: [\(needs.joined(separator: ", "))]
                timeout: 2m
                ack: \(ack)
                retries: {attempts: \(attempts), initial_delay: 200ms, max_delay: 1s}
                parameters:
                  command: [python3, -B, "\(script)", "\(journal)", "\(seconds)"\(more)]

            """
    }

    static func pipeline(_ name: String, _ stages: [String]) -> String {
        "name: \(name)\nstages:\n" + stages.joined()
    }
}
