import FoundationEssentials
import StageSupport
import Testing

/// What a model's lineage says about the code that made it.
@Suite(.timeLimit(.minutes(4))) struct BuildInfoTests {
    @Test func theCodeIsNamedByWhatRuns() throws {
        let scene = try StageScene()
        defer { scene.remove() }
        let before = try BuildInfo.code(with: try scene.pythonPackage("pass"))
        #expect(try BuildInfo.code(with: try scene.pythonPackage("pass")) == before)
        #expect(try BuildInfo.code(with: try scene.pythonPackage("import json")) != before)
        let parts = before.dropFirst(BuildInfo.version.count + 1).split(separator: ".")
        #expect(before.hasPrefix(BuildInfo.version + "+"))
        #expect(parts.map(\.count) == [12, 12] && parts.joined().allSatisfy(\.isHexDigit), "\(before)")
        #expect(before.hasPrefix(BuildInfo.code + "."))
    }
}
