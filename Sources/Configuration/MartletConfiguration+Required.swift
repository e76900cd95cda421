extension MartletConfiguration {
    /// - Throws: ``ConfigurationError`` saying how to set it, when it is not set; and so below.
    package func requireAMQP() throws(ConfigurationError) -> ServiceURL { try require(amqp, .amqpURL) }

    package func requireRedis() throws(ConfigurationError) -> ServiceURL { try require(redis, .redisURL) }

    package func requirePostgres() throws(ConfigurationError) -> ServiceURL { try require(postgres, .postgresURL) }

    package func requireMLflow() throws(ConfigurationError) -> ServiceURL { try require(mlflow, .mlflowURL) }

    package func requireS3Endpoint() throws(ConfigurationError) -> ServiceURL { try require(s3.endpoint, .s3Endpoint) }

    package func requireS3Credentials() throws(ConfigurationError) -> (accessKeyID: String, secret: Secret) {
        (try require(s3.accessKeyID, .s3AccessKeyID), try require(s3.secretAccessKey, .s3SecretAccessKey))
    }

    private func require<Value>(_ value: Value?, _ key: SettingKey) throws(ConfigurationError) -> Value {
        if let value { return value }
        throw ConfigurationError(
            .missing, source: file ?? Self.standardFile,
            "\(key.path) is not set: start the local stack with \"martlet up\", or set \(key.variable)")
    }
}
