/// What becomes of a run when its tasks change: a pure function from the tasks as they stand to what must be
/// done next. The scheduler loads the tasks, asks, and writes the answer in the same transaction.
package struct RunMachine: Sendable {
    /// A task as the machine sees it.
    package struct Task: Hashable, Sendable {
        package var stage: String
        package var state: TaskState
        /// The stage ended well, but a gate in it said no.
        package var isRejected: Bool

        package init(stage: String, state: TaskState, isRejected: Bool = false) {
            self.stage = stage
            self.state = state
            self.isRejected = isRejected
        }
    }

    package enum Action: Hashable, Sendable {
        /// Everything that the stage needs is there.
        case makeReady(stage: String)
        case skip(stage: String)
        case finish(RunState)
    }

    private let pipeline: PipelineSpec

    package init(pipeline: PipelineSpec) {
        self.pipeline = pipeline
    }

    /// What follows from `tasks`; empty when nothing does. A stage comes before those that its skipping skips.
    /// - Parameters:
    ///   - tasks: every task of the run.
    ///   - state: the run's state now. A run that has ended starts no stage but those that run always.
    package func actions(for tasks: [Task], state: RunState) -> [Action] {
        var byStage = Dictionary(tasks.map { ($0.stage, $0) }, uniquingKeysWith: { first, _ in first })
        var actions: [Action] = []
        var changed = true
        // A skipped stage lets those behind it be skipped too, hence the repetition; it ends because
        // each round that changes something takes a task out of `pending`.
        while changed {
            changed = false
            for stage in pipeline.stages where stage.condition == .onSuccess {
                guard byStage[stage.name]?.state == .pending else { continue }
                switch readiness(of: stage, in: byStage, runHasEnded: state.isTerminal) {
                case .waiting: continue
                case .ready:
                    byStage[stage.name]?.state = .ready
                    actions.append(.makeReady(stage: stage.name))
                case .never:
                    byStage[stage.name]?.state = .skipped
                    actions.append(.skip(stage: stage.name))
                }
                changed = true
            }
        }
        var outcome = state
        if !state.isTerminal, let result = self.outcome(of: byStage) {
            outcome = result
            actions.append(.finish(result))
        }
        // Stages that run always tell of the outcome, so they wait for it.
        if outcome.isTerminal {
            for stage in pipeline.stages where stage.condition == .always {
                guard byStage[stage.name]?.state == .pending, needsHaveEnded(of: stage, in: byStage) else { continue }
                actions.append(.makeReady(stage: stage.name))
            }
        }
        return actions
    }

    private enum Readiness { case waiting, ready, never }

    private func readiness(of stage: StageSpec, in tasks: [String: Task], runHasEnded: Bool) -> Readiness {
        if runHasEnded { return .never }
        var answer = Readiness.ready
        for need in stage.needs {
            guard let task = tasks[need] else { return .never }
            switch task.state {
            case .succeeded where !task.isRejected: continue
            case .pending, .ready, .dispatched, .running: answer = .waiting
            case .succeeded, .dead, .cancelled, .skipped: return .never
            }
        }
        return answer
    }

    private func needsHaveEnded(of stage: StageSpec, in tasks: [String: Task]) -> Bool {
        stage.needs.allSatisfy { tasks[$0]?.state.isTerminal ?? true }
    }

    /// The outcome once every stage that counts has ended: cancelled before failed before rejected, because the
    /// stronger word says more about what to do next.
    private func outcome(of tasks: [String: Task]) -> RunState? {
        let counting = pipeline.stages.filter { $0.condition == .onSuccess }.compactMap { tasks[$0.name] }
        guard counting.allSatisfy(\.state.isTerminal) else { return nil }
        if counting.contains(where: { $0.state == .cancelled }) { return .cancelled }
        if counting.contains(where: { $0.state == .dead }) { return .failed }
        if counting.contains(where: \.isRejected) { return .rejected }
        return .succeeded
    }
}
