import Foundation
import Testing

@testable import LocalStack

@Suite struct PortBookTests {
    /// A server that is being started again finds its port, though nobody listens there for a moment.
    @Test func whatOneStackHasAnotherOfTheProcessDoesNotTake() throws {
        let folder = NSTemporaryDirectory() + "martlet-ports-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // Of 2,700 ports: chosen blindly, 100 of the one and 100 of the other would hardly ever be 200.
        let names = (0..<100).map { "server-\($0)" }
        var one = try PortBook(path: folder + "/one.json")
        var other = try PortBook(path: folder + "/other.json")
        #expect(try one.reserve(names).isEmpty)
        #expect(try other.reserve(names).isEmpty)
        #expect(Set(one.ports.values).union(other.ports.values).count == 200)
        // And keeps them, also when it is opened again.
        let ports = one.ports
        var again = try PortBook(path: folder + "/one.json")
        #expect(try again.reserve(names).isEmpty)
        #expect(again.ports == ports)
    }
}
