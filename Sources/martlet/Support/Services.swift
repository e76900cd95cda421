import AMQPClient
import Broker
import Configuration
import Coordination
import HTTPTransport
import Ledger
import Logging
import MLflowClient
import ObjectStorage
import PostgresClient
import RedisClient

/// Makes the clients of one process from its settings. Nothing connects before it is used.
struct Services: Sendable {
    let configuration: MartletConfiguration
    let name: String
    let logger: Logger

    /// - Parameter name: shown by the servers as the client's name.
    init(configuration: MartletConfiguration, name: String, logger: Logger) {
        self.configuration = configuration
        self.name = name
        self.logger = logger
    }

    func ledger(connections: Int = 4) throws -> Ledger {
        Ledger(postgres: try postgres(connections: connections), logger: logger)
    }

    func postgres(connections: Int = 4) throws -> PostgresClient {
        var settings = try PostgresConfiguration(url: try configuration.requirePostgres().value)
        settings.applicationName = name
        settings.maximumConnections = connections
        settings.sessionSettings = Ledger.sessionSettings
        return PostgresClient(configuration: settings, logger: logger)
    }

    func coordinator() throws -> Coordinator {
        var settings = try RedisConfiguration(url: try configuration.requireRedis().value)
        // Redis takes printable ASCII without spaces.
        settings.clientName = String(name.map { ("!"..."~").contains($0) ? $0 : "-" })
        return Coordinator(redis: RedisClient(configuration: settings, logger: logger), logger: logger)
    }

    func broker() throws -> Broker {
        var settings = try AMQPConfiguration(url: try configuration.requireAMQP().value)
        settings.maximumMessageBytes = Broker.maximumMessageBytes
        return Broker(client: AMQPClient(configuration: settings, connectionName: name, logger: logger), logger: logger)
    }

    func transport() -> HTTPTransport {
        HTTPTransport(logger: logger)
    }

    func storage(_ transport: HTTPTransport) throws -> S3Client {
        var credentials: S3Credentials?
        // Where nobody set one, the message is to name Martlet's own settings.
        if configuration.s3.accessKeyID != nil || S3CredentialChain.processEnvironment().isEmpty {
            let own = try configuration.requireS3Credentials()
            credentials = S3Credentials(accessKeyID: own.accessKeyID, secretAccessKey: own.secret.value)
        }
        let settings = S3Configuration(
            endpoint: try configuration.requireS3Endpoint().value, region: configuration.s3.region,
            addressing: configuration.s3.addressing == .path ? .path : .virtualHost,
            credentials: credentials)
        return try S3Client(configuration: settings, transport: transport, logger: logger)
    }

    /// - Parameter isAskedAgain: whether what it does not answer soon is asked anew anyway.
    func mlflow(_ transport: HTTPTransport, isAskedAgain: Bool = false) throws -> MLflowClient {
        let authentication = configuration.mlflowToken.map { MLflowAuthentication.bearer(token: $0.value) } ?? .none
        var mlflow = MLflowConfiguration(
            baseURL: try configuration.requireMLflow().value, authentication: authentication)
        if isAskedAgain {
            mlflow.maximumAttempts = 1
            mlflow.connectTimeout = .seconds(3)
            mlflow.firstByteTimeout = .seconds(15)
        }
        return try MLflowClient(configuration: mlflow, transport: transport, logger: logger)
    }
}

extension Services {
    /// For commands that answer and end: errors are theirs to tell, so the clients need not log.
    init(quiet configuration: MartletConfiguration, name: String) {
        self.init(
            configuration: configuration, name: name,
            logger: Logger(label: "martlet.command") { _ in SwiftLogNoOpLogHandler() })
    }
}
