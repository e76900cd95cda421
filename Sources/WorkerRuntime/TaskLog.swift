import FoundationEssentials
import Logging
import ObjectStorage
import Pipeline
import Synchronization

/// The log of one attempt: lines for people, followed live through Redis and kept in the object store.
package final class TaskLog: Sendable {
    /// Bytes kept of one attempt; what comes after is counted and dropped.
    static let maximumBytes = 32 << 20
    /// Bytes of one line.
    static let maximumLine = 16 << 10

    private struct State {
        var text: [UInt8] = []
        var droppedLines = 0
        var unsent: [String] = []
        var storedBytes = 0
    }

    private let state = Mutex(State())

    init() {}

    /// Adds a line, with the time in front.
    package func line(_ text: String) {
        var text = text
        if text.utf8.count > Self.maximumLine { text = String(text.prefix(Self.maximumLine)) + " …" }
        let stamped = "\(Timestamp.now) \(text)"
        state.withLock { state in
            guard state.text.count + stamped.utf8.count < Self.maximumBytes else {
                state.droppedLines += 1
                return
            }
            state.text.append(contentsOf: stamped.utf8)
            state.text.append(0x0A)
            state.unsent.append(stamped)
            // Those who follow live see the newest; the store gets everything.
            if state.unsent.count > 1_000 { state.unsent.removeFirst(state.unsent.count - 1_000) }
        }
    }

    var isEmpty: Bool { state.withLock { $0.text.isEmpty } }

    /// The lines that have not been sent to those who follow.
    func takeUnsent() -> [String] {
        state.withLock { state in
            defer { state.unsent = [] }
            return state.unsent
        }
    }

    /// The whole log and how far it goes, if it has grown since what was stored last; else nil.
    func unstored() -> (bytes: [UInt8], mark: Int)? {
        state.withLock { state in
            guard state.text.count > state.storedBytes else { return nil }
            guard state.droppedLines > 0 else { return (state.text, state.text.count) }
            return (state.text + Array("… and \(state.droppedLines) lines more, not kept\n".utf8), state.text.count)
        }
    }

    /// Only what the store has counts as stored: a failed attempt is made again, even if no line comes any more.
    func stored(upTo mark: Int) {
        state.withLock { $0.storedBytes = max($0.storedBytes, mark) }
    }
}
