extension PipelineSpec {
    package static let maximumStages = 500
    /// Seconds: one second to seven days.
    package static let timeoutBounds: ClosedRange<Double> = 1...604_800
    package static let attemptBounds = 1...100
    package static let priorityBounds = -100...100

    /// Everything that is wrong with this pipeline, in the order of its document; empty when it can run.
    /// - Parameter knownKinds: what workers can do.
    package func problems(knownKinds: [String] = StageSpec.builtInKinds) -> [PipelineProblem] {
        var problems: [PipelineProblem] = []
        if !NameRule.isPipeline(name) {
            problems.append(
                PipelineProblem(
                    path: ["name"],
                    message: "\"\(name.prefix(80))\" cannot be a pipeline's name: use lower-case letters, digits and "
                        + "dashes, at most 63, with a letter or a digit at both ends"))
        }
        if !Self.priorityBounds.contains(priority) {
            problems.append(
                PipelineProblem(
                    path: ["priority"], message: "the priority \(priority) is out of range: use -100 to 100"))
        }
        for parameter in parameters.keys.sorted() where !NameRule.isParameter(parameter) {
            problems.append(
                PipelineProblem(
                    path: ["parameters", .key(parameter)],
                    message: "\"\(parameter.prefix(80))\" cannot be a parameter's name: use letters, digits, _ and -, "
                        + "at most 63, beginning with a letter or _"))
        }
        problems += scheduleProblems()
        problems += countProblems()
        for index in stages.indices.prefix(Self.maximumStages) {
            problems += stageProblems(at: index, knownKinds: knownKinds)
        }
        return problems + needProblems() + cycleProblems()
    }

    private func countProblems() -> [PipelineProblem] {
        if stages.isEmpty {
            return [PipelineProblem(path: ["stages"], message: "a pipeline needs at least one stage")]
        }
        var problems: [PipelineProblem] = []
        if stages.count > Self.maximumStages {
            problems.append(
                PipelineProblem(
                    path: ["stages"],
                    message: "\(stages.count) stages are more than the \(Self.maximumStages) that a pipeline may have: "
                        + "split it into several pipelines"))
        }
        if stages.allSatisfy({ $0.condition == .always }) {
            problems.append(
                PipelineProblem(
                    path: ["stages"],
                    message: "every stage runs always, so nothing decides how a run ends: "
                        + "let at least one stage run on-success"))
        }
        return problems
    }

    private func scheduleProblems() -> [PipelineProblem] {
        var problems: [PipelineProblem] = []
        var seen: Set<String> = []
        for (index, schedule) in schedules.enumerated() {
            let path: [PathElement] = ["schedules", .index(index)]
            if !NameRule.isStage(schedule.name) {
                problems.append(
                    PipelineProblem(
                        path: path + ["name"], message: NameRule.refusal(of: schedule.name, as: "a schedule's name")))
            }
            if !seen.insert(schedule.name).inserted {
                problems.append(
                    PipelineProblem(
                        path: path + ["name"],
                        message: "there are two schedules named \"\(schedule.name)\": give each its own name"))
            }
            problems += cronProblems(of: schedule, at: path + ["cron"])
            for parameter in schedule.parameters.keys.sorted() {
                let value = schedule.parameters[parameter, default: .null]
                guard let fault = RunParameters.problem(name: parameter, value: value, declared: parameters) else {
                    continue
                }
                let message = fault + "; " + RunParameters.listing(parameters)
                problems.append(PipelineProblem(path: path + ["parameters", .key(parameter)], message: message))
            }
        }
        return problems
    }

    private func cronProblems(of schedule: ScheduleSpec, at path: [PathElement]) -> [PipelineProblem] {
        do throws(PipelineError) {
            let cron = try CronSchedule(schedule.cron)
            if cron.next(after: Timestamp(microseconds: 0)) != nil { return [] }
            return [PipelineProblem(path: path, message: "\"\(schedule.cron)\" names a day that no year has")]
        } catch {
            return [PipelineProblem(path: path, message: error.message)]
        }
    }
}
