import Foundation
import Testing

@testable import martlet

@Suite(.timeLimit(.minutes(4))) struct SupervisorLockTests {
    @Test func namesItsHolderUntilItIsGivenBack() throws {
        let state = try TestFolders.make()
        defer { try? FileManager.default.removeItem(atPath: state) }
        #expect(SupervisorLock.holder(state: state) == nil)
        let lock = try SupervisorLock(state: state)
        #expect(SupervisorLock.holder(state: state) == getpid())
        #expect(throws: AlreadyRunning.self) { try SupervisorLock(state: state) }
        withExtendedLifetime(lock) {}
    }

    /// `martlet status` beside `martlet up`.
    @Test func askingForTheHolderKeepsNobodyFromStarting() async throws {
        let state = try TestFolders.make()
        defer { try? FileManager.default.removeItem(atPath: state) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled { _ = SupervisorLock.holder(state: state) }
            }
            defer { group.cancelAll() }
            for _ in 0..<2_000 { _ = try SupervisorLock(state: state) }
        }
    }
}
