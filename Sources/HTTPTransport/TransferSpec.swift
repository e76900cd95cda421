/// Everything about one attempt that libcurl has to be told; made by a task, used by the transport's thread.
struct TransferSpec: Sendable {
    var url: String
    /// The URL as errors may print it.
    var display: String
    /// Scheme, host and port: what connection limits count by.
    var origin: String
    var host: String
    var proxy: String?
    var addressPolicy: HTTPAddressPolicy
    var timeouts: HTTPTimeouts
    var deadline: ContinuousClock.Instant?
    var upload: UploadSource
    var kind: Kind

    enum Kind: Sendable {
        case http(HTTPSpec)
        case mail(MailSpec)
    }

    struct HTTPSpec: Sendable {
        var method: String
        /// `Name: value`, checked.
        var headerLines: [String]
        /// A second arrival does no harm: libcurl may send again on a pooled connection that turns out dead.
        var isRepeatable: Bool
        var expectsContinue: Bool
        var decompressionLimit: Int64?
        var destination: HTTPFileDestination?
        var hasRange: Bool
    }

    struct MailSpec: Sendable {
        var from: String
        var recipients: [String]
        var security: SMTPServer.Security
        var username: String?
        var password: String?
    }
}
