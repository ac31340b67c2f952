import NIOCore
import PostgresWire
import Testing

@testable import Session

@Suite("HitVerification")
struct HitVerificationTests {
    /// A client whose every hit is verified, with `SELECT t` cached with rows `one` and `two`.
    private func verifying(_ sql: String = "SELECT t") throws -> (
        SessionHarness, HarnessClient, ScriptedLink
    ) {
        let harness = SessionHarness()
        harness.services.options.verifiedShare = 1
        let client = try harness.client()
        try client.query(sql)
        let link = try harness.lastLink
        reply(link, ["one", "two"])
        _ = try (client.take(), link.takeSent())
        return (harness, client, link)
    }

    private func reply(_ link: ScriptedLink, _ rows: [String]) {
        link.reply { buffer in
            buffer.writeRowDescription([
                FieldDescription(
                    name: "v", tableOID: 0, columnNumber: 0, typeOID: 25, typeSize: -1,
                    typeModifier: -1, format: 0)
            ])
            for row in rows { buffer.writeDataRow(columnCount: 1) { $0.writeDataRowText(row) } }
            buffer.writeCommandComplete("SELECT \(rows.count)")
            buffer.writeReadyForQuery(.idle)
        }
    }

    private func counts(_ harness: SessionHarness) -> [UInt64] {
        let metrics = harness.services.metrics
        return [
            metrics.cacheVerified.value, metrics.cacheVerifyMismatch.value,
            metrics.cacheVerifyInconclusive.value,
        ]
    }

    @Test("a hit that is verified runs upstream, and rows in another order are the same answer")
    func verified() throws {
        let (harness, client, link) = try verifying()
        for rows in [["one", "two"], ["two", "one"]] {
            try client.query("SELECT t")
            #expect(try link.takeSent() == ["Q SELECT t"])
            reply(link, rows)
            #expect(try client.take() == ["T"] + rows.map { "D " + $0 } + ["C SELECT 2", "Z I"])
        }
        #expect(counts(harness) == [2, 0, 0])
        #expect(harness.services.metrics.cacheHits.value == 0)
        // The entry is still the one that was stored first.
        harness.services.options.verifiedShare = 0
        try client.query("SELECT t")
        #expect(try client.take() == ["T", "D one", "D two", "C SELECT 2", "Z I"])
    }

    @Test(
        "a difference is counted, the client gets the database's answer, and so does the next one")
    func mismatch() throws {
        let (harness, client, link) = try verifying()
        try client.query("SELECT t")
        reply(link, ["one", "other"])
        #expect(try client.take() == ["T", "D one", "D other", "C SELECT 2", "Z I"])
        #expect(counts(harness) == [0, 1, 0])
        harness.services.options.verifiedShare = 0
        _ = try link.takeSent()
        try client.query("SELECT t")
        #expect(try link.takeSent() == [])
        #expect(try client.take() == ["T", "D one", "D other", "C SELECT 2", "Z I"])
    }

    @Test("which rows LIMIT keeps is free, how many is not")
    func limit() throws {
        let (harness, client, link) = try verifying("SELECT t LIMIT 2")
        try client.query("SELECT t LIMIT 2")
        reply(link, ["one", "other"])
        try client.query("SELECT t LIMIT 2")
        reply(link, ["one"])
        _ = try client.take()
        #expect(counts(harness) == [1, 1, 0])
    }

    @Test("what was written while the statement ran, or failed, says nothing")
    func inconclusive() throws {
        let (harness, client, link) = try verifying()
        try client.query("SELECT t")
        let writer = try harness.client()
        try writer.query("UPDATE t")
        try harness.lastLink.replyTag("UPDATE 1")
        reply(link, ["one", "other"])
        #expect(counts(harness) == [0, 0, 1])

        try client.query("SELECT t")
        reply(link, ["one", "other"])
        try client.query("SELECT t")
        link.reply {
            $0.writeErrorResponse(PostgresError(.queryCanceled, "canceled"))
            $0.writeReadyForQuery(.idle)
        }
        #expect(counts(harness) == [0, 0, 2])
    }

    @Test("the extended protocol is verified alike, described or not")
    func extended() throws {
        let harness = SessionHarness()
        harness.services.options.verifiedShare = 1
        let client = try harness.client()
        for (value, isMismatch) in [("one", false), ("one", false), ("other", true)] {
            try client.execute("SELECT t")
            let link = try harness.lastLink
            #expect(try link.takeSent().count == 5)
            link.reply {
                $0.writeParseComplete()
                $0.writeBindComplete()
                $0.writeRow(value)
                $0.writeReadyForQuery(.idle)
            }
            #expect(try client.take().contains("D " + value))
            #expect(counts(harness)[1] == (isMismatch ? 1 : 0))
        }
        #expect(counts(harness) == [1, 1, 0])
    }

    @Test("as many hits are chosen as the share says, and none where it is zero")
    func sampler() {
        func chosen(_ share: Double, of hits: Int) -> Int {
            var sampler = HitSampler(seed: 7)
            return (0..<hits).filter { _ in !sampler.passes() && sampler.draws(share: share) }.count
        }
        #expect(chosen(0, of: 1000) == 0)
        #expect(chosen(1, of: 1000) == 1000)
        // Four standard deviations of a binomial distribution.
        #expect((9_500...10_500).contains(chosen(0.1, of: 100_000)))
        #expect((1_840...2_160).contains(chosen(0.002, of: 1_000_000)))
        #expect((49_300...50_700).contains(chosen(0.5, of: 100_000)))
    }

    @Test("a new share reaches a session that has been hitting for long")
    func reload() {
        var sampler = HitSampler(seed: 7)
        for _ in 0..<10_000 where !sampler.passes() { _ = sampler.draws(share: 0) }
        let first = (1...1000).first { _ in !sampler.passes() && sampler.draws(share: 1) }
        #expect(first.map { $0 <= 257 } == true)
    }
}
