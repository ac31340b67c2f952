import NIOCore
import Testing

@testable import Upstream

struct LinkAttemptsTests {
    private let hosts = ["a", "b"].map { PostgreSQLAddress(host: $0, port: 1) }
    private let first: [SocketAddress]

    init() throws {
        first = [
            try SocketAddress(ipAddress: "::1", port: 1),
            try SocketAddress(ipAddress: "127.0.0.1", port: 1),
        ]
    }

    private static func advance(_ attempts: inout LinkAttempts) -> Bool { attempts.advance() }
    private static func switches(_ attempts: inout LinkAttempts) -> Bool {
        attempts.switchEncryption()
    }

    @Test("Each address of each host is tried, in order")
    func order() {
        var attempts = LinkAttempts(hosts: hosts, mode: .disable, wanted: .any)
        #expect(attempts.host == hosts[0] && attempts.address == nil)
        attempts.resolved(first)
        #expect(attempts.address == first[0] && attempts.hasMore)
        #expect(Self.advance(&attempts))
        #expect(attempts.address == first[1] && attempts.host == hosts[0])
        #expect(Self.advance(&attempts))
        #expect(attempts.host == hosts[1] && attempts.address == nil)
        attempts.resolved([first[1]])
        #expect(!attempts.hasMore)
        #expect(!Self.advance(&attempts))
    }

    @Test("Beginning with the host that served last, all others still have their turn")
    func rotation() {
        var attempts = LinkAttempts(hosts: hosts, mode: .disable, wanted: .primary, first: 1)
        #expect(attempts.hostIndex == 1)
        #expect(Self.advance(&attempts))
        #expect(attempts.hostIndex == 0)
        #expect(!Self.advance(&attempts))
    }

    @Test("prefer-standby asks everybody for a standby first, then takes what there is")
    func preferStandby() {
        var attempts = LinkAttempts(hosts: hosts, mode: .disable, wanted: .preferStandby)
        var seen: [(Int, TargetSession)] = []
        repeat { seen.append((attempts.hostIndex, attempts.target)) } while attempts.advance()
        #expect(seen.map(\.0) == [0, 1, 0, 1])
        #expect(seen.map(\.1) == [.preferStandby, .preferStandby, .any, .any])
    }

    @Test("allow and prefer change over once for each address; the others never")
    func encryption() {
        for (mode, begins, changes) in [
            (.disable, false, false), (.allow, false, true), (.prefer, true, true),
            (.require, true, false), (.verifyCA, true, false), (.verifyFull, true, false),
        ] as [(LinkEncryption.Mode, Bool, Bool)] {
            var attempts = LinkAttempts(hosts: hosts, mode: mode, wanted: .any)
            attempts.resolved(first)
            #expect(attempts.isEncrypted == begins)
            #expect(Self.switches(&attempts) == changes)
            #expect(attempts.isEncrypted == (begins != changes))
            #expect(!Self.switches(&attempts))
            #expect(Self.advance(&attempts))
            #expect(attempts.isEncrypted == begins)
        }
    }

    @Test("A unix socket is never encrypted")
    func unixSocket() {
        let socket = [PostgreSQLAddress(host: "/run", port: 1)]
        for mode in [LinkEncryption.Mode.allow, .prefer, .require, .verifyFull] {
            var attempts = LinkAttempts(hosts: socket, mode: mode, wanted: .any)
            #expect(!attempts.isEncrypted)
            #expect(!Self.switches(&attempts))
        }
    }

    @Test("The answer to SSLRequest is one byte, and nothing behind it is believed")
    func answers() {
        func answer(_ text: String, _ mode: LinkEncryption.Mode) -> EncryptionAnswer? {
            EncryptionAnswer(ByteBuffer(string: text), mode: mode)
        }
        #expect(answer("", .require) == nil)
        #expect(answer("S", .prefer) == .encrypt)
        #expect(answer("S", .verifyFull) == .encrypt)
        #expect(answer("N", .prefer) == .continueInPlainText)
        for mode in [LinkEncryption.Mode.allow, .require, .verifyCA, .verifyFull] {
            #expect(
                answer("N", mode) == .fail("server does not support SSL, but SSL was required"))
        }
        for text in ["SR", "NR", "E", "Esecret", "X", "\0"] {
            guard case .fail(let reason)? = answer(text, .prefer) else {
                Issue.record("\(text) was accepted")
                continue
            }
            #expect(!reason.contains("secret"))
        }
    }
}
