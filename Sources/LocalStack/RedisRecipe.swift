import ChildProcess
import Glibc

/// Redis: coordination state, kept in an append-only file so that a restart is invisible.
struct RedisRecipe: ServerRecipe {
    let name = ServerName.redis
    let startLimit = Duration.seconds(30)

    func prepare(_ site: StackSite) async throws -> ServerPlan {
        let executable = try StackSite.find("redis-server", package: "redis-server", for: name)
        try site.makeFolders(of: name)
        let folder = site.folder(of: name)
        let data = "\(folder)/data"
        try FileSystem.makeFolder(data, mode: 0o700)
        let port = site.ports["redis"]
        let password = try site.secrets.secret("redis")
        let isDurable = site.options.durability == .durable
        let configuration = """
            bind 127.0.0.1
            port \(port)
            requirepass \(password)
            dir "\(data)"
            daemonize no
            supervised no
            logfile ""
            save ""
            appendonly \(isDurable ? "yes" : "no")
            appendfsync everysec
            maxclients 1000
            tcp-keepalive 60

            """
        let path = "\(folder)/redis.conf"
        try FileSystem.write(configuration, to: path)
        return ServerPlan(
            executable: executable, arguments: [path], environment: ProcessEnvironment.minimal(),
            workingDirectory: folder)
    }

    func probe(_ site: StackSite) throws {
        let port = site.ports["redis"]
        let password = try site.secrets.secret("redis")
        let question = "AUTH \(password)\r\nPING\r\n"
        let answer = try SocketProbe.exchange(port: port, request: Array(question.utf8)) {
            $0.count { $0 == UInt8(ascii: "\n") } >= 2
        }
        let lines = String(decoding: answer, as: UTF8.self).split(separator: "\r\n")
        guard lines == ["+OK", "+PONG"] else {
            throw SocketProbe.Failure("Redis answers \(lines.last ?? "nothing") to PING")
        }
    }
}
