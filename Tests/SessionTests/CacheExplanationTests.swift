import SQLAnalysis
import Testing

@testable import Session

@Suite("CacheExplanation")
struct CacheExplanationTests {
    @Test("constants mean the same whatever standard_conforming_strings says")
    func literals() {
        #expect(CacheExplanation.literal("it's", false) == "'it''s'")
        #expect(CacheExplanation.literal(#"\b'"#, false) == #"E'\\b'''"#)
        #expect(CacheExplanation.literal("é\n", false) == "'é '")
        #expect(CacheExplanation.literal("é", true) == "'?'")
    }

    @Test("the answering statement takes as many parameters as the one explained")
    func parameters() {
        var explanation = CacheExplanation()
        explanation.add("cacheable", "yes")
        let select =
            "SELECT column1 AS property, column2 AS value FROM (VALUES ('cacheable', 'yes')) "
            + "AS explanation"
        #expect(explanation.query(parameterTypes: [], parameters: 0, isASCII: false) == select)
        #expect(
            explanation.query(parameterTypes: [23, 0], parameters: 3, isASCII: false)
                == select
                + " WHERE ($1 IS NULL OR $2::text IS NULL OR $3::text IS NULL) IS NOT NULL")
    }

    @Test("rows are named by their keys")
    func scopes() {
        func rows(_ columns: [String], _ tuples: [[KeyOperand]]) -> String {
            CacheExplanation.text(of: .keyed(KeyedRows(columns: columns, tuples: tuples)))
        }
        let type = KeyType.integer(width: 4)
        #expect(CacheExplanation.text(of: .all) == "all rows")
        #expect(rows(["id"], [[.value(.integer(5))]]) == "rows where id = 5")
        #expect(
            rows(["id"], [[.value(.integer(1))], [.parameter(1, type)]])
                == "rows where id in (1, $2)")
        #expect(
            rows(["id"], [[.anyElement(ofParameter: 0, type)]]) == "rows where id = any ($1)")
        #expect(
            rows(["a", "b"], [[.parameter(0, type), .value(.text(Array("x'y".utf8)))]])
                == "rows where (a, b) = ($1, 'x''y')")
        #expect(CacheExplanation.text(of: RowPins.anyRow) == "any row")
        #expect(
            CacheExplanation.text(of: RowPins(["b": [.null], "a": [.value(.boolean(true))]]))
                == "rows where a = true and b = null")
        let uuid = [UInt8](0..<16)
        #expect(
            rows(["u"], [[.value(.uuid(uuid))]])
                == "rows where u = '00010203-0405-0607-0809-0a0b0c0d0e0f'")
    }

    @Test("spans of time are for people")
    func durations() {
        func text(_ seconds: Double) -> String {
            CacheExplanation.duration(nanoseconds: UInt64(seconds * 1e9))
        }
        #expect(text(0.25) == "250 ms")
        #expect(text(3.2) == "3.2 s")
        #expect(text(30) == "30 s")
        #expect(text(296) == "4 min 56 s")
        #expect(text(300) == "5 min")
        #expect(text(7500) == "2 h 5 min")
        #expect(text(86_400 * 365) == "365 d")
    }
}
