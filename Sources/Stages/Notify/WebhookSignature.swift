import Crypto
import FoundationEssentials
import StageSupport

/// Proves to a webhook's receiver that the body comes from here and is recent.
///
/// `X-Martlet-Signature: v1=<hex>` is HMAC-SHA-256 over `<timestamp>.<body>` with the shared secret. A receiver
/// recomputes it, compares in constant time, and refuses timestamps that are old.
enum WebhookSignature {
    /// - Parameter timestamp: seconds since 1970, as sent in `X-Martlet-Timestamp`.
    static func header(secret: String, timestamp: Int64, body: [UInt8]) -> String {
        var code = HMAC<SHA256>(key: SymmetricKey(data: Data(secret.utf8)))
        code.update(data: Data("\(timestamp).".utf8))
        code.update(data: Data(body))
        return "v1=" + Digest.hexadecimal(code.finalize())
    }
}
