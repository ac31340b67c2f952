import NIOCore
import PostgresWire
import Testing

@testable import Session

@Suite("ClientSession: EXPLAIN CACHE")
struct ClientSessionExplanationTests {
    /// The property's value in the statement that was sent in place of the question.
    private func value(_ property: String, in sent: String) -> String? {
        guard let start = sent.firstRange(of: "('\(property)', '")?.upperBound,
            let end = sent[start...].firstRange(of: "')")?.lowerBound
        else { return nil }
        return String(sent[start..<end])
    }

    @Test("the message is replaced by one that answers with rows")
    func simple() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("EXPLAIN CACHE SELECT t")
        let sent = try #require(try harness.lastLink.takeSent().first)
        #expect(sent.hasPrefix("Q SELECT column1 AS property, column2 AS value FROM (VALUES "))
        #expect(value("cacheable", in: sent) == "yes")
        #expect(value("reads", in: sent) == "public.t: all rows")
        #expect(value("rule", in: sent) == "none")
        #expect(value("ttl", in: sent) == "until invalidated")
        #expect(value("entry", in: sent) == "none")
        try harness.lastLink.replyRow("kind")
        #expect(try client.take() == ["T", "D kind", "C SELECT 1", "Z I"])
    }

    @Test("it finds the entry that either protocol would, and neither counts nor moves it")
    func entry() throws {
        let (harness, client) = try SessionHarness.warmed()
        try client.query("EXPLAIN CACHE SELECT t")
        let sent = try #require(try harness.lastLink.takeSent().first)
        #expect(try #require(value("entry", in: sent)).hasPrefix("cached "))
        #expect(harness.services.metrics.cacheHits.value == 0)
        try harness.lastLink.replyRow("kind")
        _ = try client.take()

        let writer = try harness.client()
        try writer.query("UPDATE t")
        let writerLink = try harness.lastLink
        let other = try harness.client()
        try other.query("EXPLAIN CACHE SELECT t")
        let during = try #require(try harness.lastLink.takeSent().first)
        #expect(
            try #require(value("entry", in: during)).hasSuffix("withheld while it is being written")
        )
        #expect(value("writers in flight", in: during) == "public.t")
        writerLink.replyTag("UPDATE 1")
        let last = try harness.client()
        try last.query("EXPLAIN CACHE SELECT t")
        let after = try #require(try harness.lastLink.takeSent().first)
        #expect(try #require(value("entry", in: after)).hasPrefix("stale"))
    }

    @Test("Parse is replaced too, and takes the same parameters")
    func extended() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.execute("EXPLAIN CACHE SELECT t a=$1 b=$2")
        let sent = try harness.lastLink.takeSent()
        #expect(sent.count == 5)
        #expect(sent[0].hasPrefix("P SELECT column1 AS property"))
        #expect(sent[0].hasSuffix("WHERE ($1::text IS NULL OR $2::text IS NULL) IS NOT NULL"))
        #expect(value("entry", in: sent[0]) == "one for each set of parameter values")
        #expect(value("reads", in: sent[0]) == "public.t: rows where (a, b) = ($1, $2)")
        #expect(Array(sent[1...]) == ["B", "D", "E", "S"])
    }

    @Test("what does not parse, what writes and several statements are explained as such")
    func reasons() throws {
        let harness = SessionHarness()
        func explain(_ sql: String) throws -> String {
            let client = try harness.client()
            try client.query("EXPLAIN CACHE " + sql)
            return try #require(try harness.lastLink.takeSent().first)
        }
        let bogus = try explain("BOGUS 'secret'")
        #expect(value("reason", in: bogus) == "unparsed")
        #expect(value("writes", in: bogus) == "everything and the catalog")
        #expect(!bogus.contains("secret"))
        #expect(value("writes", in: try explain("UPDATE t")) == "t: any row")
        let both = try explain("UPDATE t;SELECT t")
        #expect(value("reason", in: both) == "multiple_statements")
        #expect(both.contains("('statement', '2 of 2')"))
        #expect(value("explanation", in: try explain("")) == "There is no statement.")
    }

    @Test("a session that may not use the cache just now is told why")
    func session() throws {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.query("BEGIN")
        try client.query("UPDATE t")
        let link = try harness.lastLink
        link.replyTag("BEGIN", status: .inBlock)
        link.replyTag("UPDATE 1", status: .inBlock)
        _ = try link.takeSent()
        try client.query("EXPLAIN CACHE SELECT t")
        let sent = try #require(try link.takeSent().first)
        #expect(value("cacheable", in: sent) == "yes")
        #expect(try #require(value("session", in: sent)).hasPrefix("transaction_wrote: "))
    }
}
