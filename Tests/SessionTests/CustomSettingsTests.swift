import SQLAnalysis
import Testing

@testable import Session

@Suite("CustomSettings")
struct CustomSettingsTests {
    private func needing(login: CustomSettings.Value?) -> CustomSettings {
        var settings = CustomSettings()
        let isNew = settings.need(["app.tenant"])
        #expect(isNew)
        #expect(settings.mustAsk)
        if let login {
            settings.answered(["app.tenant"], ["app.tenant": login])
            #expect(!settings.mustAsk)
        }
        return settings
    }

    private func value(_ settings: CustomSettings) -> String? {
        settings.identifying["app.tenant"]
    }

    @Test("a value set before it is needed is known when it is")
    func remembered() {
        var settings = CustomSettings()
        settings.set("app.tenant", to: "a", isLocal: false)
        settings.transactionEnded(committed: true)
        #expect(settings.identifying.isEmpty)
        let isNew = settings.need(["app.tenant"])
        #expect(isNew)
        #expect(value(settings) == "=a")
        #expect(settings.knows(["app.tenant"]))
        #expect(!settings.knows(["app.other"]))
    }

    @Test("SET LOCAL ends with its transaction, and SET survives it")
    func local() {
        var settings = needing(login: .text("l"))
        settings.set("app.tenant", to: "a", isLocal: false)
        settings.set("app.tenant", to: "b", isLocal: true)
        #expect(value(settings) == "=b")
        settings.transactionEnded(committed: true)
        #expect(value(settings) == "=a")
        settings.set("app.tenant", to: "c", isLocal: true)
        settings.set("app.tenant", to: "d", isLocal: false)
        settings.transactionEnded(committed: false)
        #expect(value(settings) == "=a")
        settings.reset("app.tenant")
        #expect(value(settings) == "=l")
    }

    @Test("NULL is not the empty text, and what was set is never NULL again")
    func null() {
        var settings = needing(login: .null)
        #expect(value(settings) == "null")
        settings.set("app.tenant", to: "a", isLocal: true)
        settings.transactionEnded(committed: false)
        #expect(value(settings) == "=")
        settings.set("app.tenant", to: "a", isLocal: false)
        settings.transactionEnded(committed: true)
        settings.resetAll()
        #expect(value(settings) == "=")
    }

    @Test("a failed set_config may have made NULL the empty text")
    func failed() {
        var settings = needing(login: .null)
        settings.changeFailed()
        #expect(value(settings) == nil)
        #expect(settings.mustAsk)
    }

    @Test("RESET without a known value at login asks once, and then knows it")
    func reset() {
        var settings = CustomSettings()
        settings.set("app.tenant", to: "a", isLocal: false)
        settings.transactionEnded(committed: true)
        _ = settings.need(["app.tenant"])
        settings.reset("app.tenant")
        settings.transactionEnded(committed: true)
        #expect(value(settings) == nil && settings.mustAsk)
        #expect(settings.unknown == ["app.tenant"])
        settings.answered(["app.tenant"], ["app.tenant": .text("")])
        #expect(value(settings) == "=")
        settings.set("app.tenant", to: "b", isLocal: false)
        settings.transactionEnded(committed: true)
        settings.discardAll()
        #expect(value(settings) == "=" && !settings.mustAsk)
    }

    @Test("a value probed after SET is not taken for the one at login")
    func probedLater() {
        var settings = CustomSettings()
        settings.set("app.tenant", to: "a", isLocal: false)
        settings.transactionEnded(committed: true)
        _ = settings.need(["app.tenant"])
        settings.distrust()
        #expect(value(settings) == nil)
        settings.answered(["app.tenant"], ["app.tenant": .text("a")])
        settings.reset("app.tenant")
        #expect(value(settings) == nil)
    }

    @Test("savepoints and transactions that end nobody knows how leave values unknown")
    func unknown() {
        var settings = needing(login: .text("l"))
        settings.set("app.tenant", to: "a", isLocal: true)
        settings.rolledBackToSavepoint()
        #expect(value(settings) == nil)
        settings.transactionEnded(committed: false)
        #expect(value(settings) == "=l")
        settings.set("app.tenant", to: "a", isLocal: false)
        settings.transactionEnded(committed: nil)
        #expect(value(settings) == nil)
    }

    @Test("names that nobody needs are remembered in bounded number")
    func bounded() {
        var settings = CustomSettings()
        for index in 0..<1000 { settings.set("app.n\(index)", to: "v", isLocal: false) }
        settings.transactionEnded(committed: true)
        _ = settings.need(["app.n1", "app.n999"])
        #expect(settings.identifying == ["app.n1": "=v"])
        #expect(settings.unknown == ["app.n999"])
        settings.answered(["app.n999"], [:])
        #expect(!settings.mustAsk)
        #expect(!settings.knows(["app.n999"]))
    }

    @Test("the question asks for plain names alone, and its answer tells NULL from ''")
    func question() {
        #expect(CustomSettings.question(for: ["a.b'"]) == nil)
        #expect(CustomSettings.question(for: ["a.b", "c.d'"])?.contains("('a.b')) v(n)") == true)
        #expect(
            CustomSettings.values(in: [
                "mynah.setting a.b": "null", "mynah.setting c.d": "=", "role": "none",
            ]) == ["a.b": .null, "c.d": .text("")])
    }
}
