package import HTTPTransport
package import Logging
import Synchronization

/// An S3 store: objects, listings, uploads in parts, ranged downloads, presigned URLs.
///
/// Every write carries a checksum that the store enforces, and leaves the SHA-256 of the content in the
/// object's metadata; every read of a whole object verifies it. Failures that pass by themselves
/// (5xx, 429, broken connections) are tried again with jittered, doubling pauses.
package final class S3Client: Sendable {
    package let configuration: S3Configuration
    package let logger: Logger
    let transport: HTTPTransport
    let endpoint: S3Endpoint
    let signer: SigV4Signer
    /// Seconds that the store's clock is ahead of ours, once it has refused us for it.
    let clockOffset = Atomic<Int64>(0)

    /// - Throws: `S3Error` with code `.invalidRequest` for a configuration that cannot work.
    package init(configuration: S3Configuration, transport: HTTPTransport, logger: Logger) throws {
        try configuration.validate()
        self.configuration = configuration
        self.transport = transport
        self.logger = logger
        endpoint = try S3Endpoint(configuration.endpoint, addressing: configuration.addressing)
        signer = SigV4Signer(
            credentials: try S3CredentialChain.resolve(explicit: configuration.credentials),
            region: configuration.region
        )
    }
}
