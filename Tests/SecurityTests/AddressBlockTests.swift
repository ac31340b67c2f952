import NIOCore
import Testing

@testable import Security

struct AddressBlockTests {
    @Test(
        "A block holds the addresses with its prefix and no others",
        arguments: [
            ("10.0.0.0/8", "10.255.1.2", true), ("10.0.0.0/8", "11.0.0.0", false),
            ("192.0.2.128/25", "192.0.2.255", true), ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false),
            ("0.0.0.0/0", "255.255.255.255", true), ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::/33", "2001:db8:8000::", false), ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false), ("::1", "::1", true), ("::1/128", "::2", false),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true), ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("::ffff:0:0/96", "1.2.3.4", true), ("127.0.0.0/8", "::ffff:128.0.0.1", false),
        ])
    func contains(block: String, address: String, expected: Bool) throws {
        let block = try #require(AddressBlock(block))
        let remote = try SocketAddress(ipAddress: address, port: 1)
        guard case .network(let bytes) = PeerAddress(remote: remote, local: nil) else {
            Issue.record("\(address) is no network address")
            return
        }
        #expect(block.contains(bytes) == expected)
    }

    @Test(
        "What is no block is refused",
        arguments: [
            "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8",
            "10.0.0.1/8", "10.0.0/8", "::/129", "::1/64", "2001:db8::1/32", "host.example/8",
            "10.0.0.0/08x", "10.0.0.0/99999999999999999999", "fe80::1%eth0", "10.0.0.0\u{0}/8",
            "all",
            "::ffff:10.0.0.1/104",
        ])
    func refused(text: String) {
        #expect(AddressBlock(text) == nil)
    }

    @Test(
        "Only blocks within loopback are of this machine",
        arguments: [
            ("127.0.0.0/8", true), ("127.0.0.1", true), ("::1", true), ("126.0.0.0/7", false),
            ("0.0.0.0/0", false), ("::/0", false), ("::/127", false),
            ("::ffff:127.0.0.0/104", true),
            ("10.0.0.1", false),
        ])
    func loopback(text: String, expected: Bool) throws {
        #expect(try #require(AddressBlock(text)).isLoopback == expected)
    }

    @Test("A mapped IPv4 peer is an IPv4 peer, and an IPv6 site counts as one")
    func peers() throws {
        func peer(_ text: String) throws -> PeerAddress {
            PeerAddress(remote: try SocketAddress(ipAddress: text, port: 9), local: nil)
        }
        #expect(try peer("::ffff:192.0.2.7") == peer("192.0.2.7"))
        #expect(try peer("::ffff:192.0.2.7").description == "192.0.2.7")
        #expect(try peer("2001:db8::1").group == peer("2001:db8::ffff").group)
        #expect(try peer("2001:db8::1").group != peer("2001:db8:0:1::1").group)
        #expect(try peer("192.0.2.7").group != peer("192.0.2.8").group)
        #expect(try peer("::1").isLocal && peer("127.9.9.9").isLocal)
        #expect(try !peer("192.0.2.7").isLocal)
        let socket = try SocketAddress(unixDomainSocketPath: "/tmp/s")
        #expect(PeerAddress(remote: nil, local: socket) == .unix)
        #expect(PeerAddress(remote: nil, local: nil) == .unknown)
        #expect(
            PeerAddress(remote: nil, local: try SocketAddress(ipAddress: "127.0.0.1", port: 1))
                == .unknown)
        #expect(PeerAddress.unix.isLocal && !PeerAddress.unknown.isLocal)
    }
}
