import AMQPClient
import ChildProcess
import Glibc
import LocalStack
import TestServers

/// Runs a program to its end.
func runProgram(_ path: String, _ arguments: [String], _ environment: [String: String] = [:]) throws -> Int32 {
    var pid: pid_t = 0
    let all = ProcessEnvironment.current().merging(environment) { $1 }
    var argv: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
    var envp: [UnsafeMutablePointer<CChar>?] = all.map { strdup("\($0)=\($1)") } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor: Int32 in [0, 1] {
        posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    let status = posix_spawnp(&pid, path, &actions, nil, &argv, &envp)
    guard status == 0 else { throw Overdue(what: "cannot run \(path): errno \(status)") }
    var exit: Int32 = 0
    while waitpid(pid, &exit, 0) < 0, errno == EINTR {}
    return exit
}

/// A broker that only this suite uses, so it may be restarted and put under alarm.
struct OwnBroker {
    let stack: LocalStack

    func configuration() async throws -> AMQPConfiguration {
        try quick(AMQPConfiguration(url: await stack.endpoints().amqpURL))
    }

    /// `rabbitmqctl`, at the broker's own node.
    func control(_ arguments: String...) async throws {
        let folder = stack.folder
        let ports = try PortsFile(path: "\(folder)/ports.json")
        let status = try runProgram(
            "/usr/lib/rabbitmq/bin/rabbitmqctl", arguments,
            [
                "HOME": "\(folder)/\(ServerName.rabbitMQ.rawValue)/home",
                "RABBITMQ_NODENAME": "martlet@localhost", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
                "ERL_EPMD_PORT": try ports["epmd"],
                "RABBITMQ_CTL_DIST_PORT_MIN": try ports["amqp-tools"],
                "RABBITMQ_CTL_DIST_PORT_MAX": try ports["amqp-tools"],
            ])
        guard status == 0 else { throw Overdue(what: "rabbitmqctl \(arguments.joined(separator: " ")): \(status)") }
    }
}

/// `ports.json`: names and numbers.
struct PortsFile {
    private let text: String

    init(path: String) throws {
        text = try contents(path)
    }

    subscript(name: String) -> String {
        get throws {
            guard let key = text.firstRange(of: "\"\(name)\"") else { throw Overdue(what: "no port \(name)") }
            return String(text[key.upperBound...].drop { !$0.isNumber }.prefix { $0.isNumber })
        }
    }
}

func contents(_ path: String) throws -> String {
    guard let file = fopen(path, "r") else { throw Overdue(what: "cannot read \(path)") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
    }
}
