/// Where the servers of a stack answer, with the credentials for them. Never log this value's fields.
package struct StackEndpoints: Sendable, Equatable, CustomStringConvertible {
    /// `amqp://user:password@host:port/%2F`.
    package let amqpURL: String
    /// `http://user:password@host:port`, RabbitMQ's management API.
    package let amqpManagementURL: String
    /// `redis://:password@host:port/0`.
    package let redisURL: String
    /// `postgresql://user:password@host:port/martlet`, the ledger's database.
    package let postgresURL: String
    /// `http://host:port`, path-style buckets.
    package let s3Endpoint: String
    package let s3AccessKey: String
    package let s3SecretKey: String
    package let s3Region: String
    /// The bucket for Martlet's own objects.
    package let s3Bucket: String
    /// `http://host:port`.
    package let mlflowURL: String

    /// The same as the variables that Martlet's configuration reads.
    package var environment: [String: String] {
        [
            "MARTLET_AMQP_URL": amqpURL,
            "MARTLET_AMQP_MANAGEMENT_URL": amqpManagementURL,
            "MARTLET_REDIS_URL": redisURL,
            "MARTLET_POSTGRES_URL": postgresURL,
            "MARTLET_S3_ENDPOINT": s3Endpoint,
            "MARTLET_S3_ACCESS_KEY_ID": s3AccessKey,
            "MARTLET_S3_SECRET_ACCESS_KEY": s3SecretKey,
            "MARTLET_S3_REGION": s3Region,
            "MARTLET_S3_BUCKET": s3Bucket,
            "MARTLET_MLFLOW_URL": mlflowURL,
        ]
    }

    /// The addresses without credentials, safe to print.
    package var description: String {
        func bare(_ url: String) -> String {
            guard let at = url.lastIndex(of: "@"), let colon = url.firstIndex(of: ":") else { return url }
            return "\(url[..<colon])://\(url[url.index(after: at)...])"
        }
        return "RabbitMQ \(bare(amqpURL)), Redis \(bare(redisURL)), PostgreSQL \(bare(postgresURL)), "
            + "S3 \(s3Endpoint), MLflow \(mlflowURL)"
    }
}
