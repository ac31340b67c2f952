import PostgresWire
import Testing

@testable import Security

struct ScramVerifierTests {
    /// RFC 7677's example as a verifier: password `pencil`.
    static let pencil =
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        + ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

    @Test("A verifier is derived as the server derives it")
    func derived() throws {
        let salt = try #require(Base64.decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
        let derived = try #require(ScramVerifier(password: Secret("pencil"), salt: salt))
        #expect(derived.text.value == Self.pencil)
        #expect(ScramVerifier(Self.pencil) == derived)
    }

    @Test(
        "What is no verifier is refused",
        arguments: [
            "", "SCRAM-SHA-256", "SCRAM-SHA-256$", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
            pencil + "=", pencil + "$", pencil + " ", " " + pencil, pencil + ":AAAA",
            pencil.replacing("4096", with: "0"), pencil.replacing("4096", with: "-4096"),
            pencil.replacing("4096", with: "+4096"), pencil.replacing("4096", with: ""),
            pencil.replacing("4096", with: "99999999999999999999"),
            pencil.replacing("4096", with: "2147483648"),
            pencil.replacing("W22ZaJ0SNY7soEsUEjb6gQ==", with: ""),
            pencil.replacing("W22ZaJ0SNY7soEsUEjb6gQ==", with: "W22ZaJ0SNY7soEsUEjb6gQ"),
            pencil.replacing("W22ZaJ0SNY7soEsUEjb6gQ==", with: "W22Z aJ0S"),
            pencil.replacing("SCRAM-SHA-256", with: "SCRAM-SHA-1"),
            pencil.replacing("SCRAM-SHA-256", with: "scram-sha-256"),
            String(repeating: "A", count: 100_000),
        ])
    func refused(text: String) {
        #expect(ScramVerifier(text) == nil)
    }

    @Test("Salts of up to 1024 bytes are taken")
    func salts() {
        let rest = Self.pencil.split(separator: "$", maxSplits: 2)[2]
        func verifier(_ count: Int) -> ScramVerifier? {
            ScramVerifier(
                "SCRAM-SHA-256$1:\(Base64.encode([UInt8](repeating: 7, count: count)))$\(rest)")
        }
        #expect(verifier(1)?.salt.count == 1)
        #expect(verifier(1024)?.salt.count == 1024)
        #expect(verifier(1025) == nil)
    }

    @Test("MD5 secrets are told apart from verifiers")
    func md5() {
        let digits = "0123456789abcdef0123456789abcdef"
        guard case .md5? = StoredSecret("md5" + digits) else {
            Issue.record("not read")
            return
        }
        for text in [
            "md5", "md5" + digits + "0", "MD5" + digits, "md5" + digits.uppercased(), "pw",
        ] {
            #expect(StoredSecret(text) == nil)
        }
    }

    @Test("Printing a secret shows nothing of it")
    func printing() throws {
        let verifier = try #require(ScramVerifier(Self.pencil))
        let user = AuthenticationPolicy.User(
            name: "alice", secret: .scram(verifier), password: Secret("pencil"))
        for text in [
            "\(verifier)", String(reflecting: verifier), "\(StoredSecret.scram(verifier))",
            "\(user)", String(reflecting: user), "\(verifier.text)",
            "\(UpstreamCredentials.scramKeys(clientKey: [17, 34], serverKey: [51, 68]))",
            String(reflecting: UpstreamCredentials.password(Secret("pencil"))),
        ] {
            #expect(!text.contains("pencil") && !text.contains("W22Z") && !text.contains("51"))
        }
        var dumped = ""
        dump(user, to: &dumped)
        dump(
            UpstreamCredentials.scramKeys(clientKey: [171, 34], serverKey: [51, 68]), to: &dumped)
        #expect(
            !dumped.contains("pencil") && !dumped.contains("171") && !dumped.contains("serverKey"))
    }
}
