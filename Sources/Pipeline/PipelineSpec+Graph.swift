extension PipelineSpec {
    /// Needs that name nothing, the stage itself, the same stage twice, or a stage that must not be needed.
    func needProblems() -> [PipelineProblem] {
        var problems: [PipelineProblem] = []
        let byName = Dictionary(stages.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for (index, stage) in stages.enumerated().prefix(Self.maximumStages) {
            var seen: Set<String> = []
            for (position, need) in stage.needs.enumerated() {
                guard let fault = fault(of: need, in: stage, byName: byName, seen: &seen) else { continue }
                let path: [PathElement] = ["stages", .index(index), "needs", .index(position)]
                problems.append(PipelineProblem(path: path, message: fault))
            }
        }
        return problems
    }

    private func fault(
        of need: String, in stage: StageSpec, byName: [String: StageSpec], seen: inout Set<String>
    ) -> String? {
        if need == stage.name { return "stage \"\(stage.name)\" needs itself: take it out of its needs" }
        guard seen.insert(need).inserted else {
            return "stage \"\(stage.name)\" needs \"\(need)\" twice: name it once"
        }
        guard let needed = byName[need] else {
            let others = byName.keys.filter { $0 != stage.name }
            let advice = Suggestion.advice(for: need, in: others, plural: "other stages")
            return
                "stage \"\(stage.name)\" needs \"\(need.prefix(80))\", which is not a stage of this pipeline: \(advice)"
        }
        if stage.condition == .onSuccess, needed.condition == .always {
            return "stage \"\(stage.name)\" runs on-success but needs \"\(need)\", which runs always, after the run's "
                + "outcome is known: let \"\(stage.name)\" run always too, or take the need out"
        }
        return nil
    }

    /// One problem for each cycle that a search from the first stage on closes; a stage that needs itself is not
    /// counted again.
    func cycleProblems() -> [PipelineProblem] {
        let indices = Dictionary(
            stages.indices.map { (stages[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
        var search = CycleSearch(
            needs: stages.prefix(Self.maximumStages).indices.map { index in
                stages[index].needs.enumerated().compactMap { position, need in
                    guard let target = indices[need], target != index, target < Self.maximumStages else { return nil }
                    return CycleSearch.Edge(target: target, position: position)
                }
            })
        return search.cycles().map { cycle in
            var names = (cycle.stages + cycle.stages.prefix(1)).map { stages[$0].name }
            if names.count > 20 { names.replaceSubrange(10..<(names.count - 10), with: ["…"]) }
            return PipelineProblem(
                path: ["stages", .index(cycle.closing.stage), "needs", .index(cycle.closing.position)],
                message: "the stages need each other in a cycle, \(names.joined(separator: " → ")): take one need out")
        }
    }
}

/// A depth-first search for edges that lead back to the path they come from. Iterative: a chain may be as long as
/// the pipeline.
struct CycleSearch {
    struct Edge {
        var target: Int
        /// Which of the stage's needs this is.
        var position: Int
    }

    struct Cycle {
        /// Each needs the next, and the last needs the first.
        var stages: [Int]
        var closing: (stage: Int, position: Int)
    }

    private enum Mark { case unseen, onPath, done }

    private let needs: [[Edge]]
    private var marks: [Mark]

    init(needs: [[Edge]]) {
        self.needs = needs
        marks = Array(repeating: .unseen, count: needs.count)
    }

    mutating func cycles() -> [Cycle] {
        var found: [Cycle] = []
        for start in needs.indices where marks[start] == .unseen {
            search(from: start, into: &found)
        }
        return found
    }

    private mutating func search(from start: Int, into found: inout [Cycle]) {
        var path: [(stage: Int, next: Int)] = [(start, 0)]
        marks[start] = .onPath
        while let (stage, next) = path.last {
            guard next < needs[stage].count else {
                marks[stage] = .done
                path.removeLast()
                continue
            }
            path[path.count - 1].next += 1
            let edge = needs[stage][next]
            switch marks[edge.target] {
            case .unseen:
                marks[edge.target] = .onPath
                path.append((edge.target, 0))
            case .onPath:
                let loop = path.map(\.stage).drop { $0 != edge.target }
                found.append(Cycle(stages: Array(loop), closing: (stage, edge.position)))
            case .done: continue
            }
        }
    }
}
