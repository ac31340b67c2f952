import NIOCore
import Testing

@testable import PostgresWire

struct StartupPacketTests {
    static let startup = StartupMessage(parameters: [
        .init(name: "user", value: "app"), .init(name: "database", value: "shop"),
        .init(name: "application_name", value: ""),
    ])

    private func expectExact(_ packet: ByteBuffer, is expected: StartupPacket) throws {
        for length in 0..<packet.readableBytes {
            var prefix = try #require(packet.getSlice(at: 0, length: length))
            let result = try StartupPacket.next(in: &prefix)
            #expect(result == nil)
            #expect(prefix.readableBytes == length)
        }
        var whole = packet
        whole.writeString("next")
        #expect(try StartupPacket.next(in: &whole) == expected)
        #expect(whole == ByteBuffer(string: "next"))
    }

    @Test("Each packet survives the round trip; each prefix needs more")
    func roundTrips() throws {
        try expectExact(buffer { $0.writeStartup(Self.startup) }, is: .startup(Self.startup))
        try expectExact(buffer { $0.writeSSLRequest() }, is: .sslRequest)
        let key = BackendKey(processID: 4711, secret: -3)
        try expectExact(buffer { $0.writeCancelRequest(key) }, is: .cancel(key))
        let long = BackendKey(processID: 1, secret: (0..<32).map { UInt8($0) })
        try expectExact(buffer { $0.writeCancelRequest(long) }, is: .cancel(long))
        #expect(long.hasSecret(of: long) && !long.hasSecret(of: key))
        let gss = buffer {
            $0.writeInteger(Int32(8))
            $0.writeInteger(UInt32(80_877_104))
        }
        try expectExact(gss, is: .gssEncryptionRequest)
    }

    @Test(
        "A length that cannot be throws before the packet is there",
        arguments: [Int32.min, -1, 0, 4, 7, 10_001, .max])
    func badLengths(length: Int32) {
        var packet = buffer { $0.writeInteger(length) }
        #expect(throws: PostgresError.self) { try StartupPacket.next(in: &packet) }
    }

    @Test("Parameters must end exactly where the packet does")
    func layout() {
        for parameters in [[], [0x61], [0x61, 0], [0x61, 0, 0x62, 0], [0, 0]] as [[UInt8]] {
            var packet = buffer {
                $0.writeInteger(Int32(8 + parameters.count))
                $0.writeInteger(UInt32(196_608))
                $0.writeBytes(parameters)
            }
            #expect(throws: PostgresError.self) { try StartupPacket.next(in: &packet) }
        }
    }

    @Test("Another major version is refused in the server's words")
    func majorVersions() {
        var packet = buffer {
            $0.writeInteger(Int32(9))
            $0.writeInteger(UInt32(0x0002_0000))
            $0.writeInteger(UInt8(0))
        }
        let error = #expect(throws: PostgresError.self) { try StartupPacket.next(in: &packet) }
        #expect(error?.sqlState == .featureNotSupported)
        #expect(error?.severity == .fatal)
        #expect(error?.message.contains("protocol 2.0") == true)
    }

    @Test("User and database are the last ones given, and the database defaults to the user")
    func accessors() {
        #expect(Self.startup.user == "app")
        #expect(Self.startup.database == "shop")
        var message = StartupMessage(parameters: [
            .init(name: "user", value: "a"), .init(name: "user", value: "b"),
        ])
        #expect(message.user == "b")
        #expect(message.database == "b")
        message.parameters.append(.init(name: "database", value: ""))
        #expect(message.database == "b")
        #expect(StartupMessage(parameters: []).user == nil)
    }

    @Test("A newer minor version or a protocol option is answered by negotiation")
    func negotiation() throws {
        #expect(!Self.startup.needsNegotiation)
        #expect(buffer { Self.startup.writeNegotiation(to: &$0) }.readableBytes == 0)
        var newer = Self.startup
        newer.minorVersion = 2
        #expect(!newer.needsNegotiation)
        newer.minorVersion = 9999
        newer.parameters.append(.init(name: "_pq_.compression", value: "on"))
        var reply = buffer { newer.writeNegotiation(to: &$0) }
        let frame = try #require(try MessageFraming.next(in: &reply, limit: 1024))
        #expect(frame.tag == BackendTag.negotiateProtocolVersion)
        let expected = buffer {
            $0.writeInteger(UInt32(196_610))
            $0.writeInteger(Int32(1))
            $0.writeString("_pq_.compression\0")
        }
        #expect(frame.body == expected)
    }
}
