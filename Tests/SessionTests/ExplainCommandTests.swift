import Testing

@testable import Session

@Suite("ExplainCommand")
struct ExplainCommandTests {
    private func statement(_ query: String) -> String? {
        ExplainCommand.statement(in: query.utf8).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(
        "the statement is what follows the two words, byte for byte",
        arguments: [
            ("EXPLAIN CACHE SELECT 1", "SELECT 1"),
            ("explain cache select 1;", "select 1;"),
            (" \n\tExPlAiN\nCaChE \n SELECT  1 ", "SELECT  1 "),
            ("/* a /* nested */ one */ EXPLAIN -- why\nCACHE SELECT 1", "SELECT 1"),
            ("EXPLAIN/**/CACHE/* kept */SELECT 1", "/* kept */SELECT 1"),
            ("EXPLAIN CACHE", ""), ("EXPLAIN CACHE;", ";"),
        ])
    func recognised(_ query: String, _ expected: String) {
        #expect(statement(query) == expected)
    }

    @Test(
        "anything else is none",
        arguments: [
            "", "EXPLAIN SELECT 1", "EXPLAIN CACHED SELECT 1", "EXPLAINCACHE SELECT 1", "EXPLAIN",
            "EXPLAIN (ANALYZE) SELECT 1", "SELECT 'EXPLAIN CACHE'", "/* EXPLAIN CACHE SELECT 1",
            "EXPLAIN CACHE1", "-- EXPLAIN CACHE SELECT 1", "- EXPLAIN CACHE SELECT 1",
        ])
    func others(_ query: String) {
        #expect(statement(query) == nil)
    }
}
