import TestSupport
import Testing

@testable import SQLAnalysis

@Suite("libpg_query")
struct PgQueryTests {
    @Test("A text is split into its statements, by byte offsets")
    func ranges() throws {
        let sql = "select 'ä;' ; /* ; */ insert into t values (1);"
        let statements = try PgQuery.parse(sql)
        let texts = statements.map {
            String(decoding: Array(sql.utf8)[$0.range], as: UTF8.self)
        }
        #expect(texts.map { $0.contains("select") } == [true, false])
        #expect(texts.count == 2)
        #expect(try PgQuery.split(sql).count == 2)
        #expect(statements.compactMap { $0.tree.node?.tag } == ["SelectStmt", "InsertStmt"])
    }

    @Test("An empty text has no statements")
    func empty() throws {
        #expect(try PgQuery.parse("").isEmpty)
        #expect(try PgQuery.parse(" ; -- nothing\n;").isEmpty)
        #expect(try PgQuery.scan("").isEmpty)
    }

    @Test("Strings come out of the tree as they went in")
    func strings() throws {
        let sql = "select E'\\u0001\\t\"\\\\<>', 'näh', $$a\nb$$"
        let targets = try #require(
            PgQuery.parse(sql)[0].tree.fields(of: "SelectStmt")?["targetList"]?.elements)
        let texts = targets.compactMap {
            $0.fields(of: "ResTarget")?["val"]?.fields(of: "A_Const")?["sval"]?["sval"]?.text
        }
        #expect(texts == ["\u{1}\t\"\\<>", "näh", "a\nb"])
    }

    @Test("Fingerprints depend on the shape alone")
    func fingerprints() throws {
        let one = try PgQuery.fingerprint("select * from t where a = 1")
        #expect(try PgQuery.fingerprint("SELECT *  FROM t WHERE a = 2 -- x") == one)
        #expect(try PgQuery.fingerprint("select * from u where a = 1") != one)
    }

    @Test("The scanner gives every token its kind and place")
    func tokens() throws {
        let sql = "select \"A\".b, 'c' || $1::int4 /* d */ from t -- e"
        let bytes = Array(sql.utf8)
        let tokens = try PgQuery.scan(sql).map {
            ($0.kind, String(decoding: bytes[$0.start..<$0.end], as: UTF8.self))
        }
        let texts = tokens.map(\.1)
        #expect(
            texts == [
                "select", "\"A\"", ".", "b", ",", "'c'", "||", "$1", "::", "int4", "/* d */",
                "from", "t", "-- e",
            ])
        #expect(tokens[0].0 == .keyword(.reserved))
        #expect(tokens[1].0 == .identifier)
        #expect(tokens[2].0 == .punctuation(UInt8(ascii: ".")))
        #expect(tokens[5].0 == .string)
        #expect(tokens[6].0 == .op)
        #expect(tokens[7].0 == .parameter)
        #expect(tokens[10].0 == .comment)
    }

    @Test("What the grammar does not know is an error, not a crash")
    func failures() {
        #expect(throws: PgQuery.Failure.syntax) { try PgQuery.parse("selec 1") }
        #expect(throws: PgQuery.Failure.syntax) { try PgQuery.scan("select 'open") }
        #expect(throws: PgQuery.Failure.embeddedNUL) { try PgQuery.parse("select 1\0;drop") }
        #expect(throws: PgQuery.Failure.tooLong) {
            try PgQuery.parse("select " + String(repeating: "1", count: PgQuery.maximumLength))
        }
    }

    @Test(
        "Deep nesting is refused, however it is written",
        arguments: [
            ("select " + String(repeating: "1+", count: 100_000) + "1"),
            ("select " + String(repeating: "- ", count: 100_000) + "1"),
            ("select " + String(repeating: "(", count: 60_000) + "1"
                + String(repeating: ")", count: 60_000)),
            ("select " + String(repeating: "f(1, ", count: 30_000) + "1"
                + String(repeating: ")", count: 30_000)),
            ("select " + String(repeating: "case when a and b then 1 else ", count: 5_000) + "1"
                + String(repeating: " end", count: 5_000)),
            (String(repeating: "select 1, 1 union ", count: 10_000) + "select 1, 1"),
            ("select * from t" + String(repeating: " join t on a and b", count: 10_000)),
            ("select " + String(repeating: "not ", count: 50_000) + "true"),
            ("select a" + String(repeating: "[1]", count: 50_000)),
            ("select a" + String(repeating: "::int", count: 50_000)),
        ])
    func depth(sql: String) {
        #expect(throws: (any Error).self) { try PgQuery.parse(sql) }
    }

    @Test("What just fits the limits is walked in full")
    func deepButAllowed() throws {
        let chain = "select " + String(repeating: "1+", count: 990) + "1"
        #expect(try PgQuery.parse(chain).count == 1)
        let short = "select " + String(repeating: "1+", count: 1_000) + "1"
        #expect(short.utf8.count < NestingGuard.alwaysShallowLength)
        #expect(try SyntaxAnalysis.facts(of: short).count == 1)
        let brackets =
            "select " + String(repeating: "(", count: 990) + "1"
            + String(repeating: ")", count: 990) + String(repeating: " ", count: 2_000)
        #expect(try PgQuery.parse(brackets).count == 1)
    }

    @Test("Long flat lists are not deep")
    func flat() throws {
        let list = (0..<20_000).map(String.init).joined(separator: ", ")
        #expect(try SyntaxAnalysis.facts(of: "select * from t where a in (\(list))").count == 1)
        let pairs = (0..<3_000).map { "(a = \($0) and b = '\($0)')" }.joined(separator: " or ")
        #expect(try SyntaxAnalysis.facts(of: "select * from t where \(pairs)").count == 1)
        let values = (0..<3_000).map { "(\($0), -1, 'x'::text, f(\($0)))" }
            .joined(separator: ", ")
        #expect(try SyntaxAnalysis.facts(of: "insert into t values \(values)").count == 1)
    }

    @Test("Every prefix of a statement, and of random bytes, is answered")
    func hostile() {
        var generator = SeededGenerator(seed: 20_240_801)
        let sql = Array("with x as (select '\\u' || $1::date from \"t\") update t set a = 1".utf8)
        for length in 0...sql.count {
            let text = String(decoding: sql[..<length], as: UTF8.self)
            _ = try? SyntaxAnalysis.facts(of: text)
            _ = try? PgQuery.scan(text)
        }
        for _ in 0..<2_000 {
            let count = Int(generator.next() % 40)
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() % 128) }
            let text = String(decoding: bytes, as: UTF8.self)
            let tokens = (try? PgQuery.scan(text)) ?? []
            #expect(tokens.allSatisfy { $0.end <= text.utf8.count })
            _ = try? SyntaxAnalysis.facts(of: text)
        }
    }

    @Test("Parsing works on many threads at once")
    func threads() async throws {
        let expected = try PgQuery.fingerprint("select a from t where b = 1")
        await withTaskGroup(of: Bool.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    (0..<200).allSatisfy { turn in
                        (try? PgQuery.fingerprint("select a from t where b = \(worker * turn)"))
                            == expected && (try? PgQuery.parse("selec \(turn)")) == nil
                    }
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}
