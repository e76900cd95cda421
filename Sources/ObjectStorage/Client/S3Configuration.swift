/// Which store, whose key, and how much at a time.
package struct S3Configuration: Sendable {
    /// How a bucket appears in the URL.
    package enum Addressing: String, Sendable, Hashable, Codable {
        /// `https://host/bucket/key`: MinIO, SeaweedFS and most others.
        case path
        /// `https://bucket.host/key`: AWS.
        case virtualHost
    }

    /// `http://127.0.0.1:8333` or `https://s3.eu-west-1.amazonaws.com`; no path.
    package var endpoint: String
    package var region: String
    package var addressing: Addressing
    /// Nil for those that ``S3CredentialChain`` finds in the environment.
    package var credentials: S3Credentials?

    /// Bytes of a part of an upload and of a range of a download, 5 MiB to 5 GiB; grown where a file would need
    /// more than 10,000 parts.
    package var partSize: Int64
    /// Parts or ranges of one transfer in flight; they are read from and written to the file, so that each costs a
    /// connection and its buffers only.
    package var concurrency: Int

    /// Sends of one request in all, the first included.
    package var maximumAttempts: Int
    /// Upper bound of the first pause; it doubles with each further one.
    package var baseDelay: Duration
    package var maximumDelay: Duration
    /// A part or a range that keeps failing is tried again for this long after its first failure: a transfer
    /// of gigabytes outlives a restart of the store.
    package var transferPatience: Duration

    /// Until the TCP and TLS handshakes are done.
    package var connectTimeout: Duration
    /// From the end of the request to the first byte of the answer. Completing an upload of many parts takes a
    /// store minutes.
    package var firstByteTimeout: Duration
    /// Without a byte moving.
    package var idleTimeout: Duration

    package init(
        endpoint: String, region: String = "us-east-1", addressing: Addressing = .path, credentials: S3Credentials?,
        partSize: Int64 = 16 << 20, concurrency: Int = 8, maximumAttempts: Int = 5,
        baseDelay: Duration = .milliseconds(200), maximumDelay: Duration = .seconds(5),
        transferPatience: Duration = .seconds(90),
        connectTimeout: Duration = .seconds(10), firstByteTimeout: Duration = .seconds(120),
        idleTimeout: Duration = .seconds(60)
    ) {
        self.endpoint = endpoint
        self.region = region
        self.addressing = addressing
        self.credentials = credentials
        self.partSize = partSize
        self.concurrency = concurrency
        self.maximumAttempts = maximumAttempts
        self.baseDelay = baseDelay
        self.maximumDelay = maximumDelay
        self.transferPatience = transferPatience
        self.connectTimeout = connectTimeout
        self.firstByteTimeout = firstByteTimeout
        self.idleTimeout = idleTimeout
    }

    /// - Throws: `S3Error` with code `.invalidRequest`, naming the value that is out of range.
    func validate() throws {
        func refuse(_ message: String) -> S3Error { S3Error(code: .invalidRequest, message: message) }
        guard (TransferPlan.smallestPart...TransferPlan.largestPart).contains(partSize) else {
            throw refuse("the part size is \(partSize) bytes; S3 takes 5 MiB to 5 GiB")
        }
        guard (1...64).contains(concurrency) else { throw refuse("the concurrency is \(concurrency); set 1 to 64") }
        guard (1...100).contains(maximumAttempts) else {
            throw refuse("the number of attempts is \(maximumAttempts); set 1 to 100")
        }
        guard !region.isEmpty, region.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") }) else {
            throw refuse("the region '\(region)' is not a region name such as us-east-1")
        }
    }
}
