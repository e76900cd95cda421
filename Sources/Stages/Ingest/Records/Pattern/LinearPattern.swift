/// A regular expression from a configuration, which must not be able to stop a worker.
///
/// Matched without backtracking, all ways at once (Thompson 1968): the time is at most the length of the text times the
/// length of the program, whatever the pattern and the text are.
struct LinearPattern: Sendable {
    private enum Instruction: Sendable {
        case take(ScalarSet)
        case fork(Int, Int)
        case jump(Int)
        case accept
    }

    static let maximumBytes = 1_024
    /// Counted repetitions are written out: `a{1000}` is a thousand instructions.
    static let maximumInstructions = 2_000

    private var program: [Instruction] = []
    private let ignoresCase: Bool

    init(_ pattern: String, path: String) throws(IngestError) {
        guard pattern.utf8.count <= Self.maximumBytes else {
            throw ParameterReader.invalid(path, "is longer than \(Self.maximumBytes) bytes")
        }
        do {
            let (node, ignoresCase) = try PatternParser.parse(pattern)
            self.ignoresCase = ignoresCase
            try compile(node)
            try emit(.accept)
        } catch {
            throw ParameterReader.invalid(path, error.message)
        }
    }

    private mutating func emit(_ instruction: Instruction) throws(PatternFault) {
        guard program.count < Self.maximumInstructions else {
            throw PatternFault(
                "repeats too much: written out it has more than \(Self.maximumInstructions) places; check lengths with "
                    + "min_length and max_length instead")
        }
        program.append(instruction)
    }

    private mutating func compile(_ node: PatternNode) throws(PatternFault) {
        switch node {
        case .set(let set): try emit(.take(set))
        case .sequence(let nodes): for node in nodes { try compile(node) }
        case .alternatives(let nodes):
            var exits: [Int] = []
            for node in nodes.dropLast() {
                let fork = program.count
                try emit(.fork(fork + 1, fork))
                try compile(node)
                exits.append(program.count)
                try emit(.jump(0))
                program[fork] = .fork(fork + 1, program.count)
            }
            if let last = nodes.last { try compile(last) }
            for exit in exits { program[exit] = .jump(program.count) }
        case .repeated(let node, let minimum, let maximum):
            // Each turn costs an instruction even where the node is empty, so that huge counts end early.
            for _ in 0..<minimum {
                try emit(.jump(program.count + 1))
                try compile(node)
            }
            guard let maximum else {
                let fork = program.count
                try emit(.fork(fork + 1, fork))
                try compile(node)
                try emit(.jump(fork))
                program[fork] = .fork(fork + 1, program.count)
                return
            }
            var forks: [Int] = []
            for _ in minimum..<maximum {
                forks.append(program.count)
                try emit(.fork(program.count + 1, 0))
                try compile(node)
            }
            for fork in forks { program[fork] = .fork(fork + 1, program.count) }
        }
    }

    /// Whether the whole of `text` matches.
    func matches(_ text: String) -> Bool {
        var current = Places(count: program.count)
        var following = Places(count: program.count)
        var pending: [Int] = []
        follow(0, &current, &pending)
        for scalar in text.unicodeScalars {
            guard !current.list.isEmpty else { return false }
            for place in current.list {
                if case .take(let set) = program[place], set.contains(scalar, ignoringCase: ignoresCase) {
                    follow(place + 1, &following, &pending)
                }
            }
            swap(&current, &following)
            following.removeAll()
        }
        return current.isMember[program.count - 1]
    }

    /// Adds every place that can be reached from `start` without taking a character.
    private func follow(_ start: Int, _ places: inout Places, _ pending: inout [Int]) {
        pending.append(start)
        while let place = pending.popLast() {
            guard places.insert(place) else { continue }
            switch program[place] {
            case .fork(let left, let right):
                pending.append(left)
                pending.append(right)
            case .jump(let target): pending.append(target)
            case .take, .accept: break
            }
        }
    }

    /// Places of the program, each at most once.
    private struct Places {
        var list: [Int] = []
        var isMember: [Bool]

        init(count: Int) {
            isMember = Array(repeating: false, count: count)
        }

        mutating func insert(_ place: Int) -> Bool {
            guard !isMember[place] else { return false }
            isMember[place] = true
            list.append(place)
            return true
        }

        mutating func removeAll() {
            for place in list { isMember[place] = false }
            list.removeAll(keepingCapacity: true)
        }
    }
}
