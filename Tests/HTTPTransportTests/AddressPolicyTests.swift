import Testing

@testable import HTTPTransport

@Suite struct AddressPolicyTests {
    @Test(arguments: [
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "169.254.169.254", "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "febf::1",
        "ff02::1", "fc00::1", "fd12::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "100.100.100.200", "::ffff:10.0.0.1",
    ])
    func whatCouldBeOursIsRefused(literal: String) throws {
        let address = try #require(IPAddress(literal))
        #expect(HTTPAddressPolicy.publicOnly().refusal(host: "example.com", address: address) != nil)
        #expect(HTTPAddressPolicy.any.refusal(host: "example.com", address: address) == nil)
    }

    @Test(arguments: [
        "93.184.216.34", "1.1.1.1", "172.32.0.1", "172.15.255.255", "100.128.0.1", "169.253.0.1", "223.255.255.255",
        "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2001:db9::1",
    ])
    func whatIsPublicIsAllowed(literal: String) throws {
        let address = try #require(IPAddress(literal))
        #expect(HTTPAddressPolicy.publicOnly().refusal(host: "example.com", address: address) == nil)
    }

    @Test func exceptionsAreHostsAddressesAndBlocks() throws {
        let policy = HTTPAddressPolicy.publicOnly(allowing: ["10.0.0.0/8", "Hooks.internal", "127.0.0.1", "fd00::/8"])
        func isAllowed(_ host: String, _ literal: String) throws -> Bool {
            policy.refusal(host: host, address: try #require(IPAddress(literal))) == nil
        }
        #expect(try isAllowed("a", "10.255.0.1"))
        #expect(try isAllowed("a", "::ffff:10.255.0.1"))
        #expect(try isAllowed("a", "11.0.0.1"))
        #expect(try isAllowed("hooks.INTERNAL", "192.168.0.9"))
        #expect(try !isAllowed("hooks.internal.evil.example", "192.168.0.9"))
        #expect(try isAllowed("a", "127.0.0.1"))
        #expect(try !isAllowed("a", "127.0.0.2"))
        #expect(try isAllowed("a", "fd00::1"))
    }

    @Test(arguments: ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200"])
    func metadataCanBePutBeyondEveryException(literal: String) throws {
        let address = try #require(IPAddress(literal))
        var policy = HTTPAddressPolicy.publicOnly(allowing: ["0.0.0.0/0", "::/0", "inside.example.com"])
        #expect(policy.refusal(host: "inside.example.com", address: address) == nil)
        policy.alwaysRefusesMetadata = true
        #expect(policy.refusal(host: "inside.example.com", address: address) != nil)
        #expect(try policy.refusal(host: "h", address: #require(IPAddress("127.0.0.1"))) == nil)
    }

    @Test func privateNetworksAreRefusedOnlyIfAsked() throws {
        let policy = HTTPAddressPolicy.publicOnly(refusesPrivate: false)
        #expect(policy.refusal(host: "a", address: try #require(IPAddress("10.0.0.1"))) == nil)
        #expect(policy.refusal(host: "a", address: try #require(IPAddress("169.254.169.254"))) == "link-local")
    }

    @Test(arguments: ["10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "x/8", "", "::/129", "1.2.3.4/8/9"])
    func aBrokenBlockIsNone(text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test func blocksCountBits() throws {
        let block = try #require(AddressBlock("192.0.2.128/25"))
        #expect(block.contains(try #require(IPAddress("192.0.2.255"))))
        #expect(!block.contains(try #require(IPAddress("192.0.2.127"))))
        #expect(try #require(AddressBlock("0.0.0.0/0")).contains(try #require(IPAddress("8.8.8.8"))))
        #expect(!(try #require(AddressBlock("0.0.0.0/0")).contains(try #require(IPAddress("::1")))))
    }
}
