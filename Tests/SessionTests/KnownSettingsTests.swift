import SQLAnalysis
import Testing

@testable import Session

@Suite("Settings that statements may read")
struct KnownSettingsTests {
    @Test("Each is tracked, so that its value is part of every key")
    func inKey() {
        #expect(KnownSettings.inKey.isSubset(of: SessionSettings.tracked))
    }
}
