import ChildProcess
import Configuration
import Foundation
import Glibc
import HTTPTransport
import NotifyStage
import StageSupport

/// What this machine has, and whom it can reach.
extension Doctor {
    /// Bytes that a worker needs to begin with: a base model, a checkpoint or two, a dataset.
    private static let leastSpace: UInt64 = 2 << 30

    func state() throws -> Remark {
        let path = try AbsolutePath.of(settings.paths.state)
        // Before the first start there is only what it will be made in.
        var folder = path
        while !FileManager.default.fileExists(atPath: folder), folder != "/" {
            folder = URL(filePath: folder).deletingLastPathComponent().path
        }
        guard FileManager.default.isWritableFile(atPath: folder) else {
            throw Complaint("\(folder) cannot be written to")
        }
        var facts = statvfs()
        guard statvfs(folder, &facts) == 0 else { throw Complaint("\(folder): \(String(cString: strerror(errno)))") }
        let free = UInt64(facts.f_bavail) * UInt64(facts.f_frsize)
        let words = "\(path) has \(free >> 20) MiB free"
        guard free >= Self.leastSpace else { throw Complaint("\(words), less than \(Self.leastSpace >> 20)") }
        return Remark(words)
    }

    func address() async throws -> Remark {
        let address = settings.http
        do {
            try Socket.listen(host: address.host, port: address.port)
            return Remark(address.port == 0 ? "\(address.host), any free port" : "\(address) is free")
        } catch let error as Socket.Failure where error.code == EADDRINUSE {
            // A process of Martlet's own has it: then the next one of this machine needs another.
            let answer = try? await transport.send(
                HTTPRequest(url: "http://\(address)/healthz", timeouts: Self.timeouts, proxy: HTTPProxy()))
            guard answer?.isSuccess == true else { throw Complaint("somebody else has \(address)") }
            return Remark("\(address) is served", fix: "a second process on this machine needs another address")
        }
    }

    func fileRoots() throws -> Remark {
        let roots = settings.ingest.fileRoots
        for root in roots {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: root, isDirectory: &isFolder), isFolder.boolValue else {
                throw Complaint("\(root) is no folder")
            }
            guard access(root, R_OK | X_OK) == 0 else { throw Complaint("\(root) cannot be read by this user") }
        }
        return Remark(roots.isEmpty ? "any folder" : roots.joined(separator: ", "))
    }

    /// Imports what every model stage imports, in a process that ends within a minute.
    func python() async throws -> Remark {
        let environment = try PythonEnvironments.stages(settings)
        let program = """
            import torch, transformers
            gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
            print(f"torch {torch.__version__}, transformers {transformers.__version__}, {gpus} GPUs")
            """
        var variables = ProcessEnvironment.current()
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        let child = try ChildProcess.spawn(
            environment.interpreter, arguments: ["-c", program], environment: variables, stdout: .pipe, stderr: .pipe)
        async let output = Self.lines(child.stdoutLines)
        async let complaints = Self.lines(child.stderrLines)
        guard let status = await child.wait(atMost: .seconds(60)) else {
            _ = await child.terminate(grace: .seconds(1))
            throw Complaint("\(environment.interpreter) does not import torch and transformers within a minute")
        }
        guard status.isSuccess else {
            let last = await complaints.last ?? "\(status)"
            throw Complaint("\(environment.interpreter) does not import torch and transformers: \(last)")
        }
        return Remark("\(environment.interpreter): \(await output.last ?? "")")
    }

    private static func lines(_ source: OutputLines?) async -> [String] {
        var lines: [String] = []
        guard let source else { return lines }
        for await line in source { lines.append(line.text) }
        return lines
    }

    // MARK: Receivers

    private static let allowAddress = "list the address in notify.allow_addresses if it is meant"

    /// Whether a receiver can be reached and may be. It is told nothing.
    func reach(_ receiver: Receiver) async throws -> Remark {
        let policy = HTTPAddressPolicy.publicOnly(allowing: settings.notify.allowAddresses)
        switch receiver {
        case .webhook(let name, let url, let secret):
            let answer = try await ask(url, policy, hidesPath: false)
            let variable = "MARTLET_NOTIFY_WEBHOOK_\(name.uppercased().replacing("-", with: "_"))_SECRET_FILE"
            return Remark(
                answer + (secret == nil ? "; its messages are not signed" : ""),
                fix: secret == nil ? "set \(variable) to have them signed" : nil)
        case .slack(let url): return Remark(try await ask(url, policy, hidesPath: true))
        case .mail(let server, _, _):
            if server.username != nil, server.password == nil {
                throw Complaint(
                    "there is a user but no password", fix: "set MARTLET_NOTIFY_SMTP_PASSWORD_FILE")
            }
            let addresses = try await Socket.connect(host: server.host, port: server.port, within: .seconds(5))
            for text in addresses {
                guard let address = IPAddress(text) else { continue }
                if let reason = policy.refusal(host: server.host, address: address) {
                    throw Complaint(
                        "\(server.host) is at \(text), which is \(reason)",
                        fix: Self.allowAddress)
                }
            }
            return Remark("\(server.host):\(server.port) answers")
        }
    }

    /// HEAD changes nothing, and whatever is answered shows that the receiver is there.
    private func ask(_ url: String, _ policy: HTTPAddressPolicy, hidesPath: Bool) async throws -> String {
        let request = HTTPRequest(
            method: "HEAD", url: url, timeouts: Self.timeouts, addressPolicy: policy, hidesPath: hidesPath)
        let response: HTTPResponse
        do {
            response = try await transport.send(request)
        } catch let error as HTTPError where error.code == .addressRefused {
            throw Complaint("\(error)", fix: Self.allowAddress)
        }
        return "answers (HTTP \(response.status) to HEAD)"
    }
}
