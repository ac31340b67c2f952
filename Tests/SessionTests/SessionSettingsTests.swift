import SQLAnalysis
import Testing

@testable import Session

@Suite("SessionSettings")
struct SessionSettingsTests {
    private let login = ["timezone": "UTC", "search_path": "public", "role": "none"]

    @Test("a confirmed SET changes what answers depend on, and ROLLBACK undoes it")
    func rollback() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.set(name: "search_path", value: "a, b"))
        #expect(settings.current["search_path"] == "=a, b")
        settings.transactionEnded(committed: false)
        #expect(settings.current == login)
        settings.confirmed(.set(name: "search_path", value: "a, b"))
        settings.transactionEnded(committed: true)
        #expect(settings.committed["search_path"] == "=a, b")
        #expect(settings.isKnown)
    }

    @Test("SET LOCAL makes the settings unknown until the transaction ends")
    func setLocal() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.setLocal(name: "timezone"))
        #expect(!settings.isKnown)
        settings.transactionEnded(committed: true)
        #expect(settings.isKnown)
        #expect(settings.current == login)
    }

    @Test("a SET LOCAL to a constant is followed, and hides a SET until the transaction ends")
    func setLocalToConstant() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.set(name: "role", value: "alice"))
        settings.confirmed(.setLocal(name: "role", value: "bob"))
        settings.confirmed(.setLocal(name: "timezone", value: "Asia/Tokyo"))
        #expect(settings.isKnown)
        #expect(settings.current["role"] == "=bob")
        #expect(settings.current["timezone"] == "=Asia/Tokyo")
        settings.transactionEnded(committed: true)
        #expect(settings.isKnown)
        #expect(settings.current["role"] == "=alice")
        #expect(settings.current["timezone"] == "UTC")
        settings.confirmed(.setLocal(name: "role", value: "bob"))
        settings.confirmed(.set(name: "role", value: "carol"))
        settings.transactionEnded(committed: false)
        #expect(settings.current["role"] == "=alice")
        settings.confirmed(.setLocal(name: "role", value: "bob"))
        settings.confirmed(.set(name: "role", value: "carol"))
        settings.transactionEnded(committed: true)
        #expect(settings.current == settings.committed)
        #expect(settings.current["role"] == "=carol")
    }

    @Test("a rolled-back savepoint after a SET leaves the settings unknown, for good if it commits")
    func savepoint() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.set(name: "timezone", value: "Asia/Tokyo"))
        settings.rolledBackToSavepoint()
        #expect(!settings.isKnown)
        settings.transactionEnded(committed: true)
        #expect(!settings.isKnown)
        settings.confirmed(.discardAll)
        #expect(settings.isKnown)
        #expect(settings.current == login)
    }

    @Test("parameters without effect on answers are passed over, unknown ones taint")
    func unknownParameters() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.set(name: "statement_timeout", value: "5s"))
        settings.confirmed(.set(name: "app.tenant", value: "7"))
        #expect(settings.isKnown && settings.current == login)
        settings.confirmed(.set(name: "some_new_parameter", value: "on"))
        #expect(!settings.isKnown)
    }

    @Test("RESET ALL keeps the role, RESET name goes back to the value at login")
    func reset() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.set(name: "role", value: "bob"))
        settings.confirmed(.set(name: "timezone", value: "Asia/Tokyo"))
        settings.confirmed(.reset(name: "timezone"))
        #expect(settings.current["timezone"] == "UTC")
        settings.confirmed(.resetAll)
        #expect(settings.current["role"] == "=bob")
        settings.confirmed(.discardAll)
        #expect(settings.current == login)
    }

    @Test("RESET ALL does not end SET LOCAL, of which the role may be one")
    func resetAllKeepsLocal() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.setLocal(name: "role"))
        settings.confirmed(.resetAll)
        #expect(!settings.isKnown)
        settings.transactionEnded(committed: false)
        #expect(settings.isKnown)
    }

    @Test("a savepoint's rollback is not known by the values that came before it")
    func savepointToEqualValues() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.set(name: "search_path", value: "a"))
        settings.transactionEnded(committed: true)
        settings.confirmed(.set(name: "search_path", value: "b"))
        settings.confirmed(.set(name: "search_path", value: "a"))
        #expect(settings.current == settings.committed)
        settings.rolledBackToSavepoint()
        #expect(!settings.isKnown)
    }

    @Test("SET SESSION AUTHORIZATION undoes SET ROLE: who is meant must be asked for")
    func sessionAuthorization() {
        var settings = SessionSettings(login: login)
        settings.confirmed(.set(name: "role", value: "bob"))
        settings.confirmed(.set(name: "session_authorization", value: "carol"))
        #expect(!settings.isKnown)
        settings.probed(["role": "none", "session_user": "carol"])
        #expect(settings.isKnown)
        #expect(settings.current["role"] == "none")
    }

    @Test("a value as the statement spells it never equals one that the server printed")
    func spelling() {
        var spelled = SessionSettings(login: login)
        spelled.confirmed(.set(name: "timezone", value: "UTC"))
        #expect(spelled.current != login)
    }
}
