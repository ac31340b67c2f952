import PostgresWire
import Telemetry
import Testing

@testable import Security

struct AuthenticationRuleTests {
    private static let office = AuthenticationRule.Source.block(block("192.0.2.0/24"))

    private static func block(_ text: String) -> AddressBlock {
        guard let block = AddressBlock(text) else { preconditionFailure(text) }
        return block
    }

    private func client(
        _ user: String = "alice", _ database: String = "shop",
        _ peer: PeerAddress = .network([192, 0, 2, 9]),
        encrypted: Bool = false
    ) -> ClientIdentity {
        ClientIdentity(
            user: user, database: database, peer: peer,
            transport: TransportSecurity(isEncrypted: encrypted))
    }

    @Test("The first rule that matches decides")
    func first() {
        let policy = AuthenticationPolicy(rules: [
            AuthenticationRule(users: .some(["bob"]), method: .reject),
            AuthenticationRule(databases: .some(["shop"]), sources: [Self.office], method: .scram),
            AuthenticationRule(method: .jwt),
        ])
        #expect(policy.rule(for: client("bob"))?.method == .reject)
        #expect(policy.rule(for: client())?.method == .scram)
        #expect(policy.rule(for: client("alice", "bank"))?.method == .jwt)
        #expect(policy.rule(for: client("alice", "shop", .network([10, 0, 0, 1])))?.method == .jwt)
    }

    @Test("Nothing matches by default")
    func none() {
        let policy = AuthenticationPolicy(rules: [
            AuthenticationRule(users: .some(["alice"]), method: .scram)
        ])
        #expect(policy.rule(for: client("Alice")) == nil)
        #expect(policy.rule(for: client("alic")) == nil)
        #expect(policy.rule(for: client("alice2")) == nil)
    }

    @Test("Names are compared byte by byte, not as what they look like")
    func exactNames() {
        let composed = AuthenticationRule(users: .some(["\u{E9}"]), method: .scram)
        #expect(composed.matches(client("\u{E9}")))
        #expect(!composed.matches(client("e\u{301}")))
        let policy = AuthenticationPolicy(rules: [], users: [.init(name: "\u{E9}")])
        #expect(policy.user("\u{E9}") != nil)
        #expect(policy.user("e\u{301}") == nil)
    }

    @Test("Sockets and networks are told apart, and unknown peers match only rules about all")
    func sources() {
        let unix = AuthenticationRule(sources: [.unix], method: .trust)
        #expect(unix.matches(client("a", "b", .unix)))
        #expect(!unix.matches(client("a", "b", .network([127, 0, 0, 1]))))
        #expect(!unix.matches(client("a", "b", .unknown)))
        let all = AuthenticationRule(sources: [.block(Self.block("0.0.0.0/0"))], method: .scram)
        #expect(!all.matches(client("a", "b", .unix)))
        #expect(!all.matches(client("a", "b", .unknown)))
        #expect(AuthenticationRule(method: .scram).matches(client("a", "b", .unknown)))
    }

    @Test("A rule may be about encrypted connections alone, or about plain ones")
    func encryption() {
        let encrypted = AuthenticationRule(encrypted: true, method: .scram)
        let plain = AuthenticationRule(encrypted: false, method: .scram)
        #expect(encrypted.matches(client(encrypted: true)) && !encrypted.matches(client()))
        #expect(plain.matches(client()) && !plain.matches(client(encrypted: true)))
    }
}
