extension StageSpec {
    /// What Martlet's own workers can do.
    package static let builtInKinds = [
        "ingest", "preprocess", "train", "evaluate", "register", "notify", "command", "noop",
    ]
}

extension PipelineSpec {
    /// What is wrong with one stage, looked at alone.
    func stageProblems(at index: Int, knownKinds: [String]) -> [PipelineProblem] {
        let stage = stages[index]
        let path: [PathElement] = ["stages", .index(index)]
        var problems: [PipelineProblem] = []
        func report(_ key: [PathElement], _ message: String) {
            problems.append(PipelineProblem(path: path + key, message: message))
        }
        if !NameRule.isStage(stage.name) {
            report(["name"], NameRule.refusal(of: stage.name, as: "a stage's name"))
        }
        if let first = stages.firstIndex(where: { $0.name == stage.name }), first < index {
            report(["name"], "there are two stages named \"\(stage.name)\": give each its own name")
        }
        if !knownKinds.contains(stage.kind) {
            let advice = Suggestion.advice(for: stage.kind, in: knownKinds, plural: "kinds")
            report(["kind"], "\"\(stage.kind.prefix(80))\" is not a kind of stage: \(advice)")
        }
        if !NameRule.isStage(stage.pool) {
            report(["pool"], NameRule.refusal(of: stage.pool, as: "a pool's name"))
        }
        if !Self.timeoutBounds.contains(stage.timeoutSeconds) {
            report(
                ["timeout"], "a timeout of \(NumberText.short(stage.timeoutSeconds)) s is out of range: use 1s to 7d")
        }
        retryProblems(of: stage.retry, report)
        guard case .object = stage.parameters else {
            report(["parameters"], "the parameters of a stage are an object, not \(stage.parameters.typeName)")
            return problems
        }
        templateProblems(in: stage.parameters, at: ["parameters"], report)
        if stage.kind == "evaluate", let gate = stage.parameters["gate"], let fault = gateFault(of: gate) {
            report(["parameters", "gate"], fault)
        }
        return problems
    }

    /// What is wrong with a gate once the parameters' defaults are filled in; nil as well when a default of null
    /// leaves it open what the gate will be.
    private func gateFault(of gate: JSONValue) -> String? {
        let defaults = parameters.filter { !$0.value.isNull }
        // A reference that cannot be filled is reported, where it is wrong, in its own place.
        guard let filled = try? ParameterTemplate.fill(gate, with: defaults) else { return nil }
        do throws(PipelineError) {
            _ = try GatePolicy(json: filled)
            return nil
        } catch {
            return error.message
        }
    }

    private func retryProblems(of retry: RetryPolicy, _ report: ([PathElement], String) -> Void) {
        if !Self.attemptBounds.contains(retry.maximumAttempts) {
            report(["retries", "attempts"], "\(retry.maximumAttempts) attempts are out of range: use 1 to 100")
        }
        if !(0...86_400).contains(retry.initialDelaySeconds) {
            let seconds = NumberText.short(retry.initialDelaySeconds)
            report(["retries", "initial_delay"], "a first delay of \(seconds) s is out of range: use 0s to 24h")
        }
        if !(1...100).contains(retry.multiplier) {
            let factor = NumberText.short(retry.multiplier)
            report(["retries", "multiplier"], "a multiplier of \(factor) is out of range: use 1 to 100")
        }
        if !(0...86_400).contains(retry.maximumDelaySeconds) {
            let seconds = NumberText.short(retry.maximumDelaySeconds)
            report(["retries", "max_delay"], "a longest delay of \(seconds) s is out of range: use 0s to 24h")
        } else if retry.maximumDelaySeconds < retry.initialDelaySeconds {
            report(
                ["retries", "max_delay"],
                "the longest delay is shorter than the first: raise max_delay or lower initial_delay")
        }
    }

    private func templateProblems(
        in value: JSONValue, at path: [PathElement], _ report: ([PathElement], String) -> Void
    ) {
        switch value {
        case .string(let text):
            do throws(PipelineError) {
                for name in try ParameterTemplate(text).references where !isDeclared(name) {
                    let known = Array(parameters.keys) + ParameterTemplate.builtIns
                    let advice = Suggestion.advice(for: name, in: known, plural: "references")
                    let escape = (advice.hasSuffix("?") ? " For" : "; for") + " the text itself write $${\(name)}"
                    report(path, "${\(name)} refers to no parameter of this pipeline: \(advice)\(escape)")
                }
            } catch {
                report(path, error.message)
            }
        case .array(let elements):
            for (index, element) in elements.enumerated() {
                templateProblems(in: element, at: path + [.index(index)], report)
            }
        case .object(let members):
            for key in members.keys.sorted() {
                templateProblems(in: members[key, default: .null], at: path + [.key(key)], report)
            }
        case .null, .bool, .int, .double: break
        }
    }

    private func isDeclared(_ name: String) -> Bool {
        parameters[name] != nil || ParameterTemplate.builtIns.contains(name)
    }
}
