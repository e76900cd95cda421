import Glibc

/// Addresses and networks as settings spell them.
enum NetworkText {
    /// Whether the text is an IP address or a CIDR block.
    static func isNetwork(_ text: String) -> Bool {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var buffer = in6_addr()
        let address = String(parts[0])
        let isFour = inet_pton(AF_INET, address, &buffer) == 1
        guard isFour || inet_pton(AF_INET6, address, &buffer) == 1 else { return false }
        guard parts.count == 2 else { return true }
        return Int(parts[1]).map { (0...(isFour ? 32 : 128)).contains($0) } ?? false
    }
}
