import ChildProcess
import Glibc

/// Erlang's port mapper. RabbitMQ would start one itself that outlives it; as a child it ends with the stack.
struct EpmdRecipe: ServerRecipe {
    let name = ServerName.epmd
    let startLimit = Duration.seconds(15)

    func prepare(_ site: StackSite) async throws -> ServerPlan {
        let executable = try StackSite.find("epmd", package: "erlang-base", for: name)
        try site.makeFolders(of: name)
        let port = site.ports["epmd"]
        return ServerPlan(
            executable: executable, arguments: ["-port", "\(port)", "-address", "127.0.0.1"],
            environment: ProcessEnvironment.minimal(), workingDirectory: site.folder(of: name))
    }

    func probe(_ site: StackSite) throws {
        let port = site.ports["epmd"]
        // NAMES_REQ: two bytes of length, then 'n'. The answer begins with the port, four bytes.
        let answer = try SocketProbe.exchange(port: port, request: [0, 1, UInt8(ascii: "n")]) { $0.count >= 4 }
        let answered = answer.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard answer.count >= 4, answered == UInt32(port) else {
            throw SocketProbe.Failure("port \(port) does not answer as epmd")
        }
    }
}
