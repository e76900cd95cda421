import Pipeline
import Testing

@Suite(.timeLimit(.minutes(4))) struct RunMachineTests {
    /// How a stage of a simulated run ends.
    enum Ending: CaseIterable { case succeeded, rejected, dead, cancelled }

    /// Plays a run to its end as the scheduler does: asks the machine, writes its answer, lets one running task end.
    struct Simulation {
        let pipeline: PipelineSpec
        let endings: [String: Ending]
        private(set) var tasks: [String: RunMachine.Task]
        private(set) var state = RunState.running
        private(set) var becameReady: [String] = []
        private(set) var finishes = 0

        init(_ pipeline: PipelineSpec, endings: [String: Ending] = [:]) {
            self.pipeline = pipeline
            self.endings = endings
            tasks = Dictionary(
                uniqueKeysWithValues: pipeline.stages.map {
                    ($0.name, RunMachine.Task(stage: $0.name, state: .pending))
                })
        }

        mutating func play(using generator: inout some RandomNumberGenerator) {
            let machine = RunMachine(pipeline: pipeline)
            while true {
                let actions = machine.actions(for: tasks.values.shuffled(using: &generator), state: state)
                for action in actions { apply(action) }
                #expect(machine.actions(for: Array(tasks.values), state: state) == [], "nothing is left to do at once")
                let open = tasks.values.filter { [.ready, .dispatched, .running].contains($0.state) }.map(\.stage)
                    .sorted()
                guard let stage = open.randomElement(using: &generator) else { return }
                step(stage, using: &generator)
            }
        }

        private mutating func apply(_ action: RunMachine.Action) {
            switch action {
            case .makeReady(let stage):
                #expect(tasks[stage]?.state == .pending)
                checkNeeds(of: stage)
                tasks[stage]?.state = .ready
                becameReady.append(stage)
            case .skip(let stage):
                #expect(tasks[stage]?.state == .pending)
                tasks[stage]?.state = .skipped
            case .finish(let outcome):
                #expect(!state.isTerminal && outcome.isTerminal)
                state = outcome
                finishes += 1
            }
        }

        private func checkNeeds(of stage: String) {
            guard let spec = pipeline.stage(named: stage) else { return }
            let needs = spec.needs.compactMap { tasks[$0] }
            switch spec.condition {
            case .onSuccess: #expect(needs.allSatisfy { $0.state == .succeeded && !$0.isRejected } && !state.isTerminal)
            case .always: #expect(needs.allSatisfy { $0.state.isTerminal } && state.isTerminal)
            }
        }

        private mutating func step(_ stage: String, using generator: inout some RandomNumberGenerator) {
            switch tasks[stage]?.state {
            case .ready: tasks[stage]?.state = .dispatched
            case .dispatched: tasks[stage]?.state = .running
            default:
                switch endings[stage] ?? .succeeded {
                case .succeeded: tasks[stage]?.state = .succeeded
                case .rejected:
                    tasks[stage]?.state = .succeeded
                    tasks[stage]?.isRejected = true
                case .dead: tasks[stage]?.state = .dead
                case .cancelled: tasks[stage]?.state = .cancelled
                }
            }
        }
    }

    private func played(_ stages: [StageSpec], _ endings: [String: Ending] = [:], seed: UInt64 = 1) -> Simulation {
        var generator = SeededGenerator(seed: seed)
        var simulation = Simulation(PipelineSpec(name: "p", stages: stages), endings: endings)
        simulation.play(using: &generator)
        return simulation
    }

    private static let six: [StageSpec] = [
        .noop("ingest"), .noop("preprocess", needs: ["ingest"]), .noop("train", needs: ["preprocess"]),
        .noop("evaluate", needs: ["preprocess", "train"]), .noop("register", needs: ["train", "evaluate"]),
        .noop("notify", needs: ["register"], when: .always),
    ]

    @Test func sixStagesSucceedInOrder() {
        let run = played(Self.six)
        #expect(run.state == .succeeded)
        #expect(run.becameReady == ["ingest", "preprocess", "train", "evaluate", "register", "notify"])
    }

    @Test func aRejectedModelIsNotRegisteredButToldOf() {
        let run = played(Self.six, ["evaluate": .rejected])
        #expect(run.state == .rejected)
        #expect(run.tasks["register"]?.state == .skipped)
        #expect(run.tasks["notify"]?.state == .succeeded)
    }

    @Test func aFailureSkipsTheRestAndIsToldOf() {
        let run = played(Self.six, ["preprocess": .dead])
        #expect(run.state == .failed)
        #expect(["train", "evaluate", "register"].allSatisfy { run.tasks[$0]?.state == .skipped })
        #expect(run.tasks["notify"]?.state == .succeeded)
    }

    @Test func aStageThatRunsAlwaysNeverChangesTheOutcome() {
        #expect(played(Self.six, ["notify": .dead]).state == .succeeded)
        #expect(played(Self.six, ["evaluate": .rejected, "notify": .cancelled]).state == .rejected)
    }

    @Test func theStrongerWordWins() {
        let stages: [StageSpec] = [.noop("a"), .noop("b"), .noop("c"), .noop("d", needs: ["a", "b", "c"])]
        #expect(played(stages, ["a": .dead, "b": .rejected]).state == .failed)
        #expect(played(stages, ["a": .dead, "b": .rejected, "c": .cancelled]).state == .cancelled)
    }

    @Test func fanInWaitsForAllParts() {
        let parts = (0..<20).map { StageSpec.noop("part\($0)", needs: ["split"]) }
        let stages = [.noop("split")] + parts + [StageSpec.noop("join", needs: parts.map(\.name))]
        let run = played(stages, seed: 5)
        #expect(run.becameReady.first == "split" && run.becameReady.last == "join" && run.becameReady.count == 22)
        let failed = played(stages, ["part7": .dead])
        #expect(failed.tasks["join"]?.state == .skipped && failed.state == .failed)
        #expect(failed.tasks.values.count { $0.state == .succeeded } == 20, "the other parts are not cut short")
    }

    @Test func aCancelledRunStartsNothingMore() {
        let machine = RunMachine(pipeline: PipelineSpec(name: "p", stages: Self.six))
        var tasks = Self.six.map { RunMachine.Task(stage: $0.name, state: .pending) }
        tasks[0].state = .succeeded
        tasks[1].state = .cancelled
        #expect(
            machine.actions(for: tasks, state: .cancelled) == [
                .skip(stage: "train"), .skip(stage: "evaluate"), .skip(stage: "register"), .makeReady(stage: "notify"),
            ])
    }

    /// Any graph, any endings, any order in which tasks end: all ends, once, and always alike.
    @Test func randomGraphsEndAlike() {
        for seed in 0..<300 {
            var generator = SeededGenerator(seed: UInt64(seed))
            let stages = Self.randomStages(using: &generator)
            #expect(PipelineSpec(name: "p", stages: stages).problems() == [])
            var endings: [String: Ending] = [:]
            for stage in stages where Int.random(in: 0..<4, using: &generator) == 0 {
                endings[stage.name] = Ending.allCases.randomElement(using: &generator)
            }
            let first = played(stages, endings, seed: UInt64(seed) + 1_000)
            let second = played(stages.shuffled(using: &generator), endings, seed: UInt64(seed) + 2_000)
            #expect(first.tasks.values.allSatisfy { $0.state.isTerminal }, "seed \(seed)")
            #expect(first.state.isTerminal && first.finishes == 1)
            #expect(first.state == second.state && first.tasks == second.tasks, "seed \(seed)")
            #expect(first.state == Self.expected(stages, first.tasks))
        }
    }

    private static func randomStages(using generator: inout SeededGenerator) -> [StageSpec] {
        let count = Int.random(in: 1...25, using: &generator)
        var stages: [StageSpec] = []
        for index in 0..<count {
            let isAlways = index > 0 && Int.random(in: 0..<6, using: &generator) == 0
            let needed = stages.filter { isAlways || $0.condition == .onSuccess }
                .filter { _ in Int.random(in: 0..<3, using: &generator) == 0 }
            stages.append(.noop("s\(index)", needs: needed.map(\.name), when: isAlways ? .always : .onSuccess))
        }
        return stages.shuffled(using: &generator)
    }

    private static func expected(_ stages: [StageSpec], _ tasks: [String: RunMachine.Task]) -> RunState {
        let counting = stages.filter { $0.condition == .onSuccess }.compactMap { tasks[$0.name] }
        if counting.contains(where: { $0.state == .cancelled }) { return .cancelled }
        if counting.contains(where: { $0.state == .dead }) { return .failed }
        return counting.contains(where: \.isRejected) ? .rejected : .succeeded
    }
}
