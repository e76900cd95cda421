import ChildProcess
import Glibc

/// MLflow's tracking server and model registry on the stack's PostgreSQL and S3.
struct MLflowRecipe: ServerRecipe {
    let name = ServerName.mlflow
    let startLimit = Duration.seconds(180)

    func prepare(_ site: StackSite) async throws -> ServerPlan {
        let python = try await PythonEnvironment.resolve(site.options, for: name)
        let executable = try python.executable("mlflow", for: name)
        try site.makeFolders(of: name)
        let folder = site.folder(of: name)
        let credentials = "\(folder)/aws-credentials"
        try FileSystem.write(
            """
            [default]
            aws_access_key_id = \(try site.secrets.secret("s3-access-key", length: 20))
            aws_secret_access_key = \(try site.secrets.secret("s3-secret-key", length: 40))

            """, to: credentials)
        let ports = site.ports
        let environment = ProcessEnvironment.minimal().merging(
            [
                "PATH": "\(python.folder)/bin:\(ProcessEnvironment.minimal()["PATH"] ?? "/usr/bin:/bin")",
                "AWS_SHARED_CREDENTIALS_FILE": credentials,
                "AWS_CONFIG_FILE": "/dev/null",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_DEFAULT_REGION": StackSite.region,
                "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:\(ports["s3"])",
                // libpq takes the password from here, so the URI in argv has none.
                "PGPASSFILE": PostgresRecipe.passwordFile(site),
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "PYTHONUNBUFFERED": "1",
            ], uniquingKeysWith: { $1 })
        // psycopg2 by name: plain `postgresql://` picks psycopg 3, which is not installed.
        let store = "postgresql+psycopg2://\(StackSite.user)@127.0.0.1:\(ports["postgresql"])/mlflow"
        return ServerPlan(
            executable: executable,
            arguments: [
                "server", "--backend-store-uri", store, "--artifacts-destination", "s3://mlflow/artifacts",
                "--serve-artifacts", "--host", "127.0.0.1", "--port", "\(ports["mlflow"])", "--workers", "1",
            ],
            environment: environment, workingDirectory: folder)
    }

    func probe(_ site: StackSite) throws {
        let status = try SocketProbe.httpStatus(port: site.ports["mlflow"], path: "/health")
        guard status == 200 else { throw SocketProbe.Failure("/health answers \(status)") }
    }
}
