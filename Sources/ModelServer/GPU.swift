import ChildProcess
import Glibc

/// A GPU of this machine, as its driver tells.
struct GPU: Equatable, Sendable {
    /// As `CUDA_VISIBLE_DEVICES` names it.
    let index: Int
    /// Bytes.
    let total: Int64
    let free: Int64

    /// How long the driver's program may take.
    private static let patience = Duration.seconds(10)

    /// All that may be used; none where there is no NVIDIA driver.
    /// - Parameter environment: with `PATH`, and perhaps `CUDA_VISIBLE_DEVICES`.
    static func all(_ environment: [String: String]) async -> [GPU] {
        guard let program = ExecutableLookup.find("nvidia-smi", path: environment["PATH"]) else { return [] }
        do {
            let child = try ChildProcess.spawn(
                program, arguments: ["--query-gpu=index,memory.total,memory.free", "--format=csv,noheader,nounits"],
                environment: environment, stdout: .pipe)
            // Unstructured: ends the program where it hangs.
            let watch = Task {
                try await Task.sleep(for: patience)
                await child.terminate(grace: .seconds(1), wholeGroup: true)
            }
            defer { watch.cancel() }
            var gpus: [GPU] = []
            if let lines = child.stdoutLines {
                for await line in lines { if let gpu = GPU(line.text) { gpus.append(gpu) } }
            }
            guard await child.wait().isSuccess else { return [] }
            let visible = environment["CUDA_VISIBLE_DEVICES"].map { $0.split(separator: ",").compactMap { Int($0) } }
            return gpus.filter { visible?.contains($0.index) ?? true }
        } catch {
            return []
        }
    }

    /// A line such as `0, 81559, 80994`, in MiB.
    init?(_ line: String) {
        let numbers = line.split(separator: ",").compactMap { Int64($0.drop { $0 == " " }) }
        guard numbers.count == 3 else { return nil }
        index = Int(numbers[0])
        total = numbers[1] << 20
        free = numbers[2] << 20
    }

    /// What vLLM takes of a GPU for itself, of all of its memory.
    static func share(of command: [String]) -> Double {
        let option = "--gpu-memory-utilization"
        if let place = command.firstIndex(of: option), place + 1 < command.count, let share = Double(command[place + 1])
        {
            return share
        }
        let joined = command.first { $0.hasPrefix(option + "=") }.flatMap { Double($0.dropFirst(option.count + 1)) }
        // vLLM's own.
        return joined ?? 0.9
    }

    /// Whether an engine is told to use several: which ones is then for whoever runs it to say.
    static func isShared(_ command: [String]) -> Bool {
        let options = [
            "--tensor-parallel-size", "-tp", "--pipeline-parallel-size", "-pp", "--data-parallel-size", "-dp",
        ]
        return command.contains { word in options.contains { word == $0 || word.hasPrefix($0 + "=") } }
    }

    /// With so much less free as engines will take that start on it.
    func less(_ share: Double, for starting: [Int]) -> GPU {
        let count = starting.filter { $0 == index }.count
        return GPU(index: index, total: total, free: free - Int64(share * Double(total)) * Int64(count))
    }

    init(index: Int, total: Int64, free: Int64) {
        self.index = index
        self.total = total
        self.free = free
    }

    /// The one with the most room for an engine; nil where none has enough.
    /// - Parameters:
    ///   - share: of all of its memory that the engine takes.
    ///   - least: bytes that it needs in any case, its weights above all.
    static func choose(_ gpus: [GPU], share: Double, least: Int64) -> GPU? {
        gpus.filter { Double($0.free) >= max(share * Double($0.total), Double(least)) }.max { $0.free < $1.free }
    }
}
