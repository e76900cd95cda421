/// One thing that is wrong with a pipeline, and where.
package struct PipelineProblem: Hashable, Sendable, CustomStringConvertible {
    /// From the root of the pipeline, such as `stages[2].needs[0]`; empty for the pipeline as a whole.
    package var path: [PathElement]
    /// What is wrong and what to do.
    package var message: String

    package init(path: [PathElement], message: String) {
        self.path = path
        self.message = message
    }

    package var description: String {
        path.isEmpty ? message : path.spelled + ": " + message
    }
}
