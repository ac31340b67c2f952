import NIOCore
import Testing

@testable import Session

@Suite("LazyCommand")
struct LazyCommandTests {
    private func command(_ text: String) -> LazyCommand? {
        LazyCommand(ByteBuffer(string: text).readableBytesView)
    }

    @Test(
        "the spellings that drivers send are recognised",
        arguments: [
            "BEGIN", "begin", "Begin;", "BEGIN ;", "begin transaction", "BEGIN\nWORK",
            "START TRANSACTION", "BEGIN ISOLATION LEVEL READ COMMITTED", "COMMIT", "commit;", "END",
            "ROLLBACK", "abort", "rollback work",
        ])
    func recognised(_ text: String) {
        #expect(command(text) != nil)
    }

    @Test(
        "options, other statements and anything after them go to the server",
        arguments: [
            "", "BE", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN; SELECT 1",
            "COMMIT AND CHAIN", "ROLLBACK TO a", "SELECT 1", "START", "COMMIT PREPARED 'x'",
            "BEGIN -- comment", "abc",
        ])
    func notRecognised(_ text: String) {
        #expect(command(text) == nil)
    }
}
