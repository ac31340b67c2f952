import SQLAnalysis
import Testing
import Upstream

@testable import Session

@Suite("The settings that a session takes along")
struct SettingsReplayTests {
    /// For expressions that change something, which the macro does not take.
    private func check(_ holds: Bool, at location: SourceLocation = #_sourceLocation) {
        #expect(holds, sourceLocation: location)
    }

    private func replay(applicationName: String? = nil) -> SettingsReplay {
        SettingsReplay(
            startup: SessionStartup(
                user: "u", database: "d",
                parameters: applicationName.map { [.init(name: "application_name", value: $0)] }
                    ?? []))
    }

    @Test("A committed SET is taken along, a rolled-back one is not")
    func commit() {
        var replay = replay()
        check(replay.confirmed(.set(name: "work_mem", value: "1MB")))
        #expect(replay.committed["work_mem"] == nil)
        check(replay.transactionEnded(committed: true))
        #expect(replay.committed["work_mem"] == .text("1MB"))
        check(replay.confirmed(.set(name: "work_mem", value: "2MB")))
        check(replay.transactionEnded(committed: false))
        #expect(replay.committed["work_mem"] == .text("1MB"))
    }

    @Test("SET LOCAL leaves nothing but the existence of a name with a dot")
    func local() {
        var replay = replay()
        check(replay.confirmed(.setLocal(name: "work_mem", value: "1MB")))
        check(replay.confirmed(.setLocal(name: "app.tenant", value: nil)))
        check(replay.transactionEnded(committed: true))
        #expect(replay.committed.values == ["app.tenant": .login])
    }

    @Test("A name with a dot exists also after ROLLBACK and after a SET that failed")
    func existence() {
        var replay = replay()
        check(replay.confirmed(.set(name: "app.one", value: "1")))
        replay.failed(.set(name: "app.two", value: "2"))
        check(replay.transactionEnded(committed: false))
        #expect(replay.committed.values == ["app.one": .login, "app.two": .login])
    }

    @Test("What belongs to the transaction is not taken along, what cannot be undone is not moved")
    func special() {
        var replay = replay()
        check(replay.confirmed(.set(name: "transaction_isolation", value: "serializable")))
        check(replay.confirmed(.set(name: "jit", value: "")))
        check(!replay.confirmed(.set(name: "temp_buffers", value: "8MB")))
        check(replay.transactionEnded(committed: true))
        #expect(replay.committed.values.isEmpty)
    }

    @Test("Where it is not known what holds, it says so")
    func uncertainty() {
        var replay = replay()
        check(replay.confirmed(.set(name: "work_mem", value: "1MB")))
        check(!replay.transactionEnded(committed: nil))
        check(replay.confirmed(.set(name: "work_mem", value: "1MB")))
        replay.rolledBackToSavepoint()
        check(!replay.transactionEnded(committed: true))
        check(!replay.confirmed(.set(name: "session_authorization", value: "x")))
        check(!replay.confirmed(.set(name: "work_mem", value: "é")))
        check(!replay.confirmed(.unknown))
    }

    @Test("RESET ALL and DISCARD ALL take the application's name from the connection alone")
    func applicationName() {
        var replay = replay(applicationName: "app é")
        #expect(replay.committed["application_name"] == .text("app ??"))
        check(replay.confirmed(.set(name: "application_name", value: "other")))
        check(replay.confirmed(.set(name: "role", value: "r")))
        check(replay.confirmed(.resetAll))
        check(replay.transactionEnded(committed: true))
        // No connection of a pool was made with it: there RESET gives none.
        #expect(replay.committed["application_name"] == nil)
        #expect(replay.wanted["application_name"] == .text("app ??"))
        #expect(replay.committed["role"] == .text("r"), "RESET ALL leaves the role alone")
        replay.reached()
        #expect(replay.committed["application_name"] == .text("app ??"))
        check(replay.confirmed(.discardAll))
        check(replay.transactionEnded(committed: true))
        #expect(replay.committed.values.isEmpty)
        #expect(replay.wanted.values == ["application_name": .text("app ??")])
    }
}
