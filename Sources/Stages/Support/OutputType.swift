package import Pipeline
package import WorkerRuntime

/// What an output is, in `values.type`, so that a stage finds its input whatever the stages are named.
package enum OutputType: String, Sendable {
    case dataset
    case tokens
    case model
    case evaluation
    case modelVersion = "model-version"
}

extension StageContext {
    /// The one input of that type.
    package func input(_ type: OutputType) throws -> StageOutput {
        let found = payload.inputs.filter { $0.value.values["type"]?.stringValue == type.rawValue }
        if let output = found.first?.value, found.count == 1 { return output }
        let names = payload.inputs.keys.sorted().joined(separator: ", ")
        throw StageFailure(
            .permanent, "stage.missing_input",
            "stage \(payload.stage) must need exactly one stage that makes a \(type.rawValue); "
                + (names.isEmpty ? "it needs no stage" : "of \(names), \(found.count) do"))
    }

    /// The input of that type, if there is one.
    package func optionalInput(_ type: OutputType) -> StageOutput? {
        payload.inputs.values.first { $0.values["type"]?.stringValue == type.rawValue }
    }
}

/// Keeps what goes into the ledger small: the whole report is a file of the output.
package enum Brief {
    /// The document without arrays of more than 20 elements and without strings of more than 1,000 characters.
    package static func of(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let members):
            .object(
                members.compactMapValues { member in
                    if case .array(let values) = member, values.count > 20 { return nil }
                    return of(member)
                })
        case .array(let values): .array(values.map(of))
        case .string(let text) where text.count > 1_000: .string(text.prefix(1_000) + " …")
        default: value
        }
    }
}
