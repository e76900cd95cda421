/// Which addresses a call may connect to. Checked on the resolved address of every connection, new or reused, so
/// that neither DNS rebinding nor a redirect gets around it.
package struct HTTPAddressPolicy: Sendable, Hashable {
    package var isPublicOnly: Bool

    /// RFC 1918, RFC 4193 and shared (RFC 6598) networks are refused as well.
    package var refusesPrivate: Bool

    /// Blocks let through although the rules above refuse them.
    package var allowedBlocks: [AddressBlock]

    /// Host names let through whatever they resolve to, in lower case.
    package var allowedHosts: [String]

    /// Link-local networks and instance metadata services are refused whatever the exceptions say: for callers whose
    /// answers end up where others read them.
    package var alwaysRefusesMetadata = false

    /// No restriction: for addresses that come from our own configuration.
    package static let any = HTTPAddressPolicy(
        isPublicOnly: false, refusesPrivate: false, allowedBlocks: [], allowedHosts: [])

    /// For addresses that come from outside: refuses loopback, link-local (with it the metadata services),
    /// unspecified, multicast, broadcast and reserved addresses, and IPv6 forms that embed one of them.
    ///
    /// - Parameter allowing: CIDR blocks, addresses or host names that are let through all the same.
    package static func publicOnly(allowing: [String] = [], refusesPrivate: Bool = true) -> HTTPAddressPolicy {
        HTTPAddressPolicy(
            isPublicOnly: true, refusesPrivate: refusesPrivate,
            allowedBlocks: allowing.compactMap { AddressBlock($0.trimmingBrackets()) },
            allowedHosts: allowing.filter { AddressBlock($0.trimmingBrackets()) == nil }.map { $0.lowercased() })
    }

    /// Why the address is refused, or `nil` when it may be connected to.
    package func refusal(host: String, address: IPAddress) -> String? {
        let candidates = [address] + (address.embeddedIPv4.map { [$0] } ?? [])
        if alwaysRefusesMetadata {
            let rules = Self.refused.filter { Self.neverExcepted.contains($0.kind) }
            for candidate in candidates {
                if let rule = rules.first(where: { $0.block.contains(candidate) }) { return rule.kind }
            }
        }
        guard isPublicOnly, !allowedHosts.contains(host.lowercased().trimmingBrackets()) else { return nil }
        if allowedBlocks.contains(where: { block in candidates.contains(where: block.contains) }) { return nil }
        for candidate in candidates {
            if let rule = Self.refused.first(where: { $0.block.contains(candidate) }) {
                return rule.kind
            }
            if refusesPrivate, let rule = Self.privateNetworks.first(where: { $0.block.contains(candidate) }) {
                return rule.kind
            }
        }
        return nil
    }

    private struct Rule {
        let block: AddressBlock
        let kind: String
    }

    private static func rules(_ table: [(String, String)]) -> [Rule] {
        table.compactMap { text, kind in AddressBlock(text).map { Rule(block: $0, kind: kind) } }
    }

    /// IANA special-purpose registries for IPv4 and IPv6 that can lead to this machine or its network.
    private static let refused = rules([
        ("0.0.0.0/8", "unspecified"), ("127.0.0.0/8", "loopback"), ("169.254.0.0/16", "link-local"),
        ("192.0.0.0/24", "reserved"), ("224.0.0.0/4", "multicast"), ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"), ("::1/128", "loopback"), ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"), ("ff00::/8", "multicast"), ("fd00:ec2::254/128", "instance metadata"),
        ("100.100.100.200/32", "instance metadata"), ("168.63.129.16/32", "instance metadata"),
    ])

    private static let neverExcepted: Set<String> = ["link-local", "instance metadata"]

    private static let privateNetworks = rules([
        ("10.0.0.0/8", "private"), ("172.16.0.0/12", "private"), ("192.168.0.0/16", "private"),
        ("100.64.0.0/10", "private"), ("198.18.0.0/15", "private"), ("fc00::/7", "private"),
    ])
}
