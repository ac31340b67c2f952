import Testing

@testable import SQLAnalysis

@Suite("FreeChoice")
struct FreeChoiceTests {
    @Test(
        "a statement whose answer the database may choose",
        arguments: [
            "SELECT * FROM t LIMIT 1", "SELECT * FROM t OFFSET 1",
            "SELECT * FROM t FETCH FIRST ROW ONLY", "SELECT DISTINCT ON (a) * FROM t",
            "SELECT sum(a) FROM (SELECT a FROM t LIMIT 3) s",
            "SELECT row_number() OVER (ORDER BY a) FROM t",
            "WITH w AS (SELECT string_agg(a, ',') FROM t) SELECT * FROM w", "SELECT bogus bogus b",
        ])
    func free(_ sql: String) {
        #expect(FreeChoice.isMade(by: sql))
    }

    @Test(
        "one whose answer is determined, but for the order of its rows",
        arguments: [
            "SELECT * FROM t", "SELECT DISTINCT a FROM t", "SELECT sum(a) FROM t GROUP BY b",
            "SELECT * FROM t WHERE b IN (SELECT c FROM u) ORDER BY a",
        ])
    func determined(_ sql: String) {
        #expect(!FreeChoice.isMade(by: sql))
    }
}
