/// A CIDR block such as `10.0.0.0/8` or `fc00::/7`; a bare address is a block of one.
package struct AddressBlock: Sendable, Hashable {
    let network: IPAddress
    let prefix: Int

    init(network: IPAddress, prefix: Int) {
        self.network = network
        self.prefix = prefix
    }

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2, let network = IPAddress(String(first)) else { return nil }
        let width = network.bytes.count * 8
        guard parts.count == 2 else {
            self.init(network: network, prefix: width)
            return
        }
        guard let prefix = Int(parts[1]), (0...width).contains(prefix) else { return nil }
        self.init(network: network, prefix: prefix)
    }

    package func contains(_ address: IPAddress) -> Bool {
        guard address.bytes.count == network.bytes.count else { return false }
        let whole = prefix / 8
        guard address.bytes[..<whole] == network.bytes[..<whole] else { return false }
        let rest = prefix % 8
        guard rest > 0 else { return true }
        let mask = UInt8(truncatingIfNeeded: 0xff << (8 - rest))
        return address.bytes[whole] & mask == network.bytes[whole] & mask
    }
}
