/// What is wrong with a value of the domain, for whoever has to put it right.
package struct PipelineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A stable word for programs; others may be added.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let description: String

        package init(_ description: String) {
            self.description = description
        }

        package static let invalidParameter = Code("pipeline.invalid_parameter")
        package static let invalidTemplate = Code("pipeline.invalid_template")
        package static let invalidCron = Code("pipeline.invalid_cron")
        package static let invalidGate = Code("pipeline.invalid_gate")
    }

    package var code: Code
    /// Names the input, what is wrong and what to do.
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Always false: the same value is wrong every time.
    package var isRetryable: Bool { false }

    package var description: String { message }

    /// The same as a task's failure.
    package var failure: Failure {
        Failure(class: .permanent, code: code.description, message: message)
    }
}
