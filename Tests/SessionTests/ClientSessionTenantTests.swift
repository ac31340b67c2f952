import NIOCore
import PostgresWire
import Testing

@testable import Session

/// Answers that depend on `app.tenant`.
@Suite("ClientSession: settings that answers depend on")
struct ClientSessionTenantTests {
    private let read = "SELECT tenant"
    private let asked = "Q SELECT pg_catalog.concat('mynah.setting ', n)"

    private func rows(_ value: String) -> [String] { ["T", "D " + value, "C SELECT 1", "Z I"] }

    private func set(_ client: HarnessClient, _ sql: String, on harness: SessionHarness) throws {
        try client.query(sql)
        let link = try harness.lastLink
        _ = try link.takeSent()
        link.replyTag("SET")
        _ = try client.take()
    }

    /// Plays the answer to a probe.
    private func answer(_ link: ScriptedLink, _ value: String) {
        link.reply {
            $0.writeDataRow(columnCount: 2) {
                $0.writeDataRowText("mynah.setting app.tenant")
                $0.writeDataRowText(value)
            }
            $0.writeCommandComplete("SELECT 1")
            $0.writeReadyForQuery(.idle)
        }
    }

    @Test("sessions of one tenant share answers, those of another have their own")
    func tenants() throws {
        let harness = SessionHarness()
        let first = try harness.client()
        try set(first, "SET app.tenant a", on: harness)
        try first.query(read)
        #expect(try harness.lastLink.takeSent() == ["Q " + read])
        try harness.lastLink.replyRow("of a")
        #expect(try first.take() == rows("of a"))

        let second = try harness.client()
        try set(second, "SET app.tenant a", on: harness)
        try second.query(read)
        #expect(try second.take() == rows("of a"))
        #expect(try harness.lastLink.takeSent() == [])

        let other = try harness.client()
        try set(other, "SET app.tenant b", on: harness)
        try other.query(read)
        #expect(try harness.lastLink.takeSent() == ["Q " + read])
        try harness.lastLink.replyRow("of b")
        #expect(try other.take() == rows("of b"))
        try set(other, "SET app.tenant a", on: harness)
        try other.query(read)
        #expect(try other.take() == rows("of a"))
    }

    @Test("a session that does not know its tenant asks the server, ahead of the statement")
    func probe() throws {
        let harness = SessionHarness()
        let warm = try harness.client()
        try set(warm, "SET app.tenant a", on: harness)
        try warm.query(read)
        try harness.lastLink.replyRow("of a")

        for (value, isHit) in [("=a", true), ("=b", false), ("null", false)] {
            let client = try harness.client()
            try client.query(read)
            let link = try harness.lastLink
            let sent = try link.takeSent()
            #expect(sent.count == 1 && sent[0].hasPrefix(asked))
            answer(link, value)
            #expect(try client.take() == (isHit ? rows("of a") : []))
            #expect(try link.takeSent() == (isHit ? [] : ["Q " + read]))
        }
    }

    @Test("the extended protocol asks too, and prepared statements follow the tenant")
    func extended() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.execute(read, name: "s")
        let link = try harness.lastLink
        #expect(try link.takeSent().first?.hasPrefix(asked) == true)
        answer(link, "=a")
        #expect(try link.takeSent().count == 5)
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRow("of a")
            $0.writeReadyForQuery(.idle)
        }
        _ = try client.take()
        try client.execute(nil, name: "s")
        #expect(try client.take().contains("D of a"))
        #expect(harness.services.metrics.cacheHits.value == 1)
        try set(client, "SET app.tenant b", on: harness)
        try client.execute(nil, name: "s")
        #expect(try link.takeSent() == ["B", "D", "E", "S"])
        link.reply {
            $0.writeBindComplete()
            $0.writeRow("of b")
            $0.writeReadyForQuery(.idle)
        }
        #expect(try client.take().contains("D of b"))
        try set(client, "SET app.tenant a", on: harness)
        try client.execute(nil, name: "s")
        #expect(try client.take().contains("D of a"))
    }

    @Test("SET LOCAL in a block hits for its tenant, and is over with the block")
    func setLocal() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try set(client, "SET app.tenant a", on: harness)
        try client.query(read)
        let link = try harness.lastLink
        link.replyRow("of a")
        _ = try (client.take(), link.takeSent())

        try client.query("BEGIN")
        try client.query("SET LOCAL app.tenant b")
        link.replyTag("BEGIN", status: .inBlock)
        link.replyTag("SET", status: .inBlock)
        _ = try (client.take(), link.takeSent())
        try client.query(read)
        #expect(try link.takeSent() == ["Q " + read])
        link.replyRow("of b", status: .inBlock)
        _ = try client.take()
        try client.query(read)
        #expect(try client.take() == ["T", "D of b", "C SELECT 1", "Z T"])
        try client.query("COMMIT")
        link.replyTag("COMMIT")
        _ = try (client.take(), link.takeSent())
        try client.query(read)
        #expect(try client.take() == rows("of a"))
    }

    @Test("in a block where its tenant cannot be asked for, nothing is answered from memory")
    func unknownInBlock() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try set(client, "SET app.tenant a", on: harness)
        try client.query(read)
        let link = try harness.lastLink
        link.replyRow("of a")
        try client.query("BEGIN")
        try client.query("SET LOCAL app.tenant b")
        link.replyTag("BEGIN", status: .inBlock)
        link.replyTag("SET", status: .inBlock)
        try client.query("ROLLBACK TO s")
        link.replyTag("ROLLBACK", status: .inBlock)
        _ = try (client.take(), link.takeSent())
        try client.query(read)
        #expect(try link.takeSent() == ["Q " + read])
        link.replyRow("of a", status: .inBlock)
        #expect(harness.services.metrics.bypassCount(.sessionState) == 1)
    }
}
