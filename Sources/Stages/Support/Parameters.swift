package import Pipeline
import WorkerRuntime

/// Reads a stage's parameters, with errors that name the parameter.
package struct Parameters: Sendable {
    private let values: [String: JSONValue]
    private let stage: String

    /// - Throws: ``StageFailure`` for parameters that the stage does not know.
    package init(_ payload: TaskPayload, known: Set<String>) throws {
        stage = payload.stage
        values = payload.parameters.objectValue ?? [:]
        let unknown = values.keys.filter { !known.contains($0) }.sorted()
        guard unknown.isEmpty else {
            throw StageFailure(
                .permanent, payload.kind + ".unknown_parameter",
                "stage \(stage) has no parameter \(unknown.joined(separator: ", ")); it knows "
                    + known.sorted().joined(separator: ", "))
        }
    }

    package subscript(name: String) -> JSONValue? {
        guard let value = values[name], !value.isNull else { return nil }
        return value
    }

    package func string(_ name: String) throws -> String? {
        guard let value = self[name] else { return nil }
        guard let text = value.stringValue else { throw wrong(name, value, "a string") }
        return text
    }

    package func requiredString(_ name: String) throws -> String {
        guard let text = try string(name), !text.isEmpty else {
            throw StageFailure(.permanent, "stage.missing_parameter", "stage \(stage) needs the parameter \(name)")
        }
        return text
    }

    package func bool(_ name: String, default standard: Bool) throws -> Bool {
        guard let value = self[name] else { return standard }
        guard let flag = value.boolValue else { throw wrong(name, value, "true or false") }
        return flag
    }

    /// The given parameters as they are, for a specification that checks them itself.
    package func subset(_ names: [String]) -> [String: JSONValue] {
        values.filter { names.contains($0.key) && !$0.value.isNull }
    }

    private func wrong(_ name: String, _ value: JSONValue, _ expected: String) -> StageFailure {
        StageFailure(
            .permanent, "stage.wrong_parameter",
            "parameter \(name) of stage \(stage) must be \(expected), not \(value.typeName)")
    }
}
