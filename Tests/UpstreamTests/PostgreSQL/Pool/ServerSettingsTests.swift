import NIOCore
import Testing

@testable import Upstream

@Suite("The settings of a server-side session")
struct ServerSettingsTests {
    /// For expressions that change something, which the macro does not take.
    private func check(_ holds: Bool, at location: SourceLocation = #_sourceLocation) {
        #expect(holds, sourceLocation: location)
    }

    @Test("Equal settings need no statement")
    func equal() {
        var one = ServerSettings()
        one.set("timezone", to: "UTC")
        #expect(one.statements(toReach: one) == nil)
    }

    @Test("What is missing is set, what is too much is reset, the role last")
    func difference() {
        var from = ServerSettings()
        from.set("work_mem", to: "1MB")
        from.set("role", to: "one")
        var target = ServerSettings()
        target.set("app.tenant", to: "it's \\ 7")
        target.set("role", to: "two")
        #expect(
            from.statements(toReach: target) == """
                RESET role;RESET "work_mem";\
                SELECT pg_catalog.set_config('app.tenant',E'it''s \\\\ 7',false);\
                SELECT pg_catalog.set_config('role',E'two',false)
                """)
    }

    @Test("A name with a dot that was set once stays defined")
    func customNames() {
        var settings = ServerSettings()
        settings.set("app.tenant", to: "7")
        settings.set("work_mem", to: "1MB")
        settings.resetAll()
        #expect(settings.definedNames == ["app.tenant"])
        #expect(ServerSettings().statements(toReach: settings) == "RESET \"app\".\"tenant\"")
    }

    @Test(
        "What would read differently elsewhere is not made again",
        arguments: [
            ("Timezone", "UTC"), ("a\"b", "1"), ("work_mem", "é"), ("x", "a\0b"), ("", "1"),
        ])
    func notReplayable(name: String, value: String) {
        #expect(!ServerSettings.isReplayable(name, value))
    }

    @Test("Statements of one text and context share a digest, all others have their own")
    func digests() {
        let text = ByteBuffer(string: "SELECT 1")
        let digest = StatementDigest(text: text, contexts: (1, 1, 0))
        #expect(digest == StatementDigest(text: text, contexts: (1, 1, 0)))
        #expect(digest != StatementDigest(text: text, contexts: (1, 2, 0)))
        #expect(digest != StatementDigest(text: text, contexts: (2, 1, 0)))
        #expect(
            digest != StatementDigest(text: ByteBuffer(string: "SELECT 2"), contexts: (1, 1, 0)))
        #expect(digest != StatementDigest(text: text, contexts: (1, 1, 1)))
        #expect(digest.name.hasPrefix("mynah_") && digest.name.utf8.count == 38)
    }

    @Test("The statement not used for longest makes room")
    func eviction() {
        func digest(_ number: UInt64) -> StatementDigest {
            StatementDigest(text: ByteBuffer(), contexts: (number, number, 0))
        }
        var statements = ServerStatements(capacity: 2)
        check(statements.add(digest(1)) == nil)
        check(statements.add(digest(2)) == nil)
        check(statements.use(digest(1)))
        check(statements.add(digest(3)) == digest(2))
        check(!statements.use(digest(2)))
        statements.restore(digest(2))
        check(statements.use(digest(2)) && statements.count == 3)
        statements.remove(digest(1))
        check(!statements.use(digest(1)))
        check(statements.add(digest(4), keepsAll: true) == nil)
        check(statements.use(digest(3)) && statements.use(digest(4)) && statements.count == 3)
    }
}
