import Foundation
import StageSupport
import Testing

@Suite struct HeldFolderTests {
    private let parent = NSTemporaryDirectory() + "martlet-held-" + UUID().uuidString

    private var names: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: parent).sorted() }
    }

    @Test func onlyWhatNobodyHoldsIsSwept() throws {
        defer { try? FileManager.default.removeItem(atPath: parent) }
        let held = try HeldFolder("task-held", in: parent)
        for name in ["task-left", "other"] {
            let folder = try HeldFolder(name, in: parent)
            try Data("x".utf8).write(to: URL(filePath: folder.path + "/file"))
        }
        try Data("x".utf8).write(to: URL(filePath: parent + "/task-file"))
        #expect(HeldFolder.sweep(parent, prefix: "task-") == ["task-left"])
        #expect(try names == ["other", "task-file", "task-held"])
        held.remove()
        #expect(HeldFolder.sweep(parent + "/nowhere").isEmpty)
    }

    @Test func aNewProcessFindsNothingOfADeadOneOfItsNameAndAllOfALiveOne() throws {
        defer { try? FileManager.default.removeItem(atPath: parent) }
        do {
            let dead = try HeldFolder("train-1", in: parent)
            try Data("x".utf8).write(to: URL(filePath: dead.path + "/file"))
        }
        let first = try HeldFolder("train-1", in: parent)
        #expect(try FileManager.default.contentsOfDirectory(atPath: first.path).isEmpty)
        try Data("x".utf8).write(to: URL(filePath: first.path + "/file"))
        let second = try HeldFolder("train-1", in: parent)
        #expect(try FileManager.default.contentsOfDirectory(atPath: second.path) == ["file"])
        withExtendedLifetime(first) {}
    }
}
