import ChildProcess
import Glibc

/// SeaweedFS as the S3 of a machine without containers: `weed mini`, everything in one process.
struct SeaweedFSRecipe: ServerRecipe {
    let name = ServerName.s3
    let startLimit = Duration.seconds(60)

    func prepare(_ site: StackSite) async throws -> ServerPlan {
        let python = try await PythonEnvironment.resolve(site.options, for: name)
        let executable = try python.executable("weed", for: name)
        try site.makeFolders(of: name)
        let folder = site.folder(of: name)
        let data = "\(folder)/data"
        try FileSystem.makeFolder(data, mode: 0o700)
        // Written by the last run with its ports; read back, it would win over a changed default.
        unlink("\(data)/mini.options")
        let identities = "\(folder)/s3.json"
        let accessKey = try site.secrets.secret("s3-access-key", length: 20)
        let secretKey = try site.secrets.secret("s3-secret-key", length: 40)
        try FileSystem.write(
            """
            {"identities":[{"name":"\(StackSite.user)",
              "credentials":[{"accessKey":"\(accessKey)","secretKey":"\(secretKey)"}],
              "actions":["Admin","Read","Write","List","Tagging"]}]}

            """, to: identities)
        var environment = ProcessEnvironment.minimal()
        // One volume per bucket at first instead of seven.
        environment["WEED_MASTER_VOLUME_GROWTH_COPY_1"] = "1"
        return ServerPlan(
            executable: executable, arguments: arguments(site, data: data, identities: identities),
            environment: environment, workingDirectory: folder)
    }

    func probe(_ site: StackSite) throws {
        let ports = site.ports
        let buckets = site.options.buckets
        // 403 to an unsigned request: the gateway is up and its identities are loaded. 404: no such bucket yet.
        for bucket in buckets {
            let status = try SocketProbe.httpStatus(port: ports["s3"], path: "/\(bucket)")
            guard status == 403 else {
                throw SocketProbe.Failure("S3 answers \(status) to an unsigned GET of bucket '\(bucket)'")
            }
        }
        let filer = try SocketProbe.httpStatus(port: ports["weed-filer"], path: "/buckets/\(buckets.last ?? "")/")
        guard filer == 200 else { throw SocketProbe.Failure("bucket '\(buckets.last ?? "")' is not there yet") }
    }

    private func arguments(_ site: StackSite, data: String, identities: String) -> [String] {
        let ports = site.ports
        var arguments = [
            "-logtostderr=true", "mini", "-dir=\(data)", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-s3.config=\(identities)", "-s3.iam=false", "-s3.autoCreateBucket=false",
            "-bucket=\(site.options.buckets.joined(separator: ","))",
            "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-master.volumeSizeLimitMB=256", "-volume.max=0", "-master.telemetry=false",
            "-s3.port=\(ports["s3"])", "-s3.port.grpc=\(ports["s3-grpc"])",
            "-master.port=\(ports["weed-master"])", "-master.port.grpc=\(ports["weed-master-grpc"])",
            "-volume.port=\(ports["weed-volume"])", "-volume.port.grpc=\(ports["weed-volume-grpc"])",
            "-filer.port=\(ports["weed-filer"])", "-filer.port.grpc=\(ports["weed-filer-grpc"])",
            // Its own worker looks for the second listener at this offset whatever the option says.
            "-admin.port=\(ports["weed-admin"])", "-admin.port.grpc=\(ports["weed-admin"] + PortBook.adminOffset)",
        ]
        // The kernel keeps 107 bytes of a socket's path; in a deeper folder the default in /tmp stays.
        let socket = "\(data)/filer.sock"
        if socket.utf8.count <= 107 {
            arguments += ["-filer.localSocket=\(socket)", "-s3.localSocket=\(data)/s3.sock"]
        }
        return arguments
    }
}
