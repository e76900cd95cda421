/// One HTTP call. The URL is sent as it is: percent-encoding belongs to the caller, dots and double slashes survive.
package struct HTTPRequest: Sendable {
    /// An HTTP token in capitals, such as `GET`.
    package var method: String

    /// `http` or `https`, already percent-encoded.
    package var url: String

    /// Sent in this order. Names are tokens, values hold no line breaks; framing headers are the transport's own.
    package var headers: [HTTPHeader]

    package var body: HTTPRequestBody
    package var timeouts: HTTPTimeouts
    package var retry: HTTPRetryPolicy

    /// Redirects followed; 0 hands a 3xx answer to the caller. Credentials are never sent to another origin, and a
    /// redirect from https to http is an error.
    package var maximumRedirects: Int

    /// `nil`: the transport's own proxy settings.
    package var proxy: HTTPProxy?

    package var addressPolicy: HTTPAddressPolicy

    /// Asks for a compressed answer and unpacks it, up to this many bytes. `nil`: neither.
    package var decompressionLimit: Int64?

    /// Ask with `Expect: 100-continue` before bodies above 1 MB: worth a round trip where refusals are common.
    package var expectsContinue: Bool

    /// The path is a secret too (a Slack webhook): errors and logs name the origin only.
    package var hidesPath: Bool

    package init(
        method: String = "GET", url: String, headers: [HTTPHeader] = [], body: HTTPRequestBody = .none,
        timeouts: HTTPTimeouts = HTTPTimeouts(), retry: HTTPRetryPolicy = .standard, maximumRedirects: Int = 0,
        proxy: HTTPProxy? = nil, addressPolicy: HTTPAddressPolicy = .any, decompressionLimit: Int64? = nil,
        expectsContinue: Bool = false, hidesPath: Bool = false
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeouts = timeouts
        self.retry = retry
        self.maximumRedirects = maximumRedirects
        self.proxy = proxy
        self.addressPolicy = addressPolicy
        self.decompressionLimit = decompressionLimit
        self.expectsContinue = expectsContinue
        self.hidesPath = hidesPath
    }
}
