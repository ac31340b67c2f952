import NIOCore
import PostgresWire
import Testing

@testable import Upstream

@Suite("SQLite link: extended query protocol") struct SQLiteExtendedQueryTests {
    let schema = """
        CREATE TABLE n (i INTEGER PRIMARY KEY, t TEXT, f REAL, b BOOLEAN, d DATE, p NUMERIC(8,2));
        INSERT INTO n VALUES (1, 'one', 1.5, 1, '2024-01-01', 1.25), (2, 'two', 2.5, 0, NULL, 2),
            (3, 'three', 3.5, 1, NULL, 3), (4, NULL, NULL, NULL, NULL, NULL);
        """

    @Test("Parse, Describe, Bind, Execute and Sync answer in order")
    func wholeCycle() async throws {
        let client = try await SQLiteFixture(schema).client()
        client.send { buffer in
            ParseMessage(statement: "s", query: "SELECT t, f FROM n WHERE i = $1").write(
                to: &buffer)
            DescribeMessage(target: .statement, name: "s").write(to: &buffer)
            BindMessage(
                portal: "p", statement: "s", parameters: [ByteBuffer(string: "2")]
            ).write(to: &buffer)
            DescribeMessage(target: .portal, name: "p").write(to: &buffer)
            ExecuteMessage(portal: "p", maximumRows: 0).write(to: &buffer)
            CloseMessage(target: .statement, name: "s").write(to: &buffer)
            buffer.writeSync()
        }
        #expect(
            try await client.untilReady() == [
                "1", "t 20", "T t:text,f:float8", "2", "T t:text,f:float8", "D two|2.5",
                "C SELECT 1", "3", "Z I",
            ])
    }

    @Test(
        "Parameter types are inferred where the client gives none",
        arguments: [
            ("SELECT * FROM n WHERE i = $1 AND t LIKE $2", "20,25"),
            ("INSERT INTO n (i, f, b, d, p) VALUES ($1, $2, $3, $4, $5)", "20,701,16,1082,1700"),
            ("UPDATE n SET t = $1, f = $2 WHERE i IN ($3, $4)", "25,701,20,20"),
            ("SELECT i FROM n LIMIT $1 OFFSET $2", "20,20"),
            ("SELECT $1::int, $2::text", "23,25"),
            ("DELETE FROM n WHERE f BETWEEN $1 AND $2", "701,701"),
            ("SELECT $1", "25"),
        ])
    func parameterInference(sql: String, types: String) async throws {
        let client = try await SQLiteFixture(schema).client()
        client.send { buffer in
            ParseMessage(statement: "", query: sql).write(to: &buffer)
            DescribeMessage(target: .statement, name: "").write(to: &buffer)
            buffer.writeSync()
        }
        #expect(try await client.untilReady().contains("t \(types)"))
    }

    @Test("Text and binary results say the same")
    func binary() async throws {
        let client = try await SQLiteFixture(schema).client()
        let sql = "SELECT i, t, f, b, d, p, count(*) OVER () AS c FROM n WHERE i = $1"
        #expect(
            try await client.extended(sql, ["1"]) == [
                "1", "2", "T i:int8,t:text,f:float8,b:bool,d:date,p:numeric,c:int8",
                "D 1|one|1.5|t|2024-01-01|1.25|1", "C SELECT 1", "Z I",
            ])
        let numeric = try ValueCoding.binary(fromText: "1.25", type: .numeric)
        let hex = numeric.readableBytesView.map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
        #expect(
            try await client.extended(sql, ["1"], binary: true).contains(
                "D 0x0000000000000001|one|0x3ff8000000000000|0x01|0x0000223e|0x\(hex)|0x0000000000000001"
            ))
    }

    @Test("Binary parameters of every type reach SQLite as the value they are")
    func binaryParameters() async throws {
        let client = try await SQLiteFixture(schema).client()
        let types: [PostgresType] = [.int4, .int8, .int2, .float8, .bool, .bytea, .date, .numeric]
        let texts = ["7", "8", "9", "1.25", "t", "\\xdeadbeef", "2024-05-06", "3.50"]
        let values = try zip(texts, types).map { try ValueCoding.binary(fromText: $0, type: $1) }
        client.send { buffer in
            ParseMessage(
                statement: "",
                query:
                    "SELECT typeof($1), typeof($2), typeof($3), typeof($4), $5 + 0, hex($6), $7, $8 + 0.0",
                parameterTypes: types.map(\.oid)
            ).write(to: &buffer)
            BindMessage(parameterFormats: [1], parameters: values).write(to: &buffer)
            ExecuteMessage(portal: "", maximumRows: 0).write(to: &buffer)
            buffer.writeSync()
        }
        let replies = try await client.untilReady()
        #expect(
            replies.contains("D integer|integer|integer|real|1|DEADBEEF|2024-05-06|3.5"),
            "\(replies)")
    }

    @Test("A number compares as a number, whatever form it came in")
    func numbersCompare() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(
            try await client.extended("SELECT count(*) FROM n WHERE i + 0 > $1", ["2"])
                .contains("D 2"))
        #expect(
            try await client.extended("SELECT count(*) FROM n WHERE f = $1", ["2.5"])
                .contains("D 1"))
    }

    @Test("After an error everything is skipped until Sync")
    func errorUntilSync() async throws {
        let client = try await SQLiteFixture(schema).client()
        client.send { buffer in
            ParseMessage(statement: "", query: "INSERT INTO n (i) VALUES (50)").write(to: &buffer)
            BindMessage().write(to: &buffer)
            ExecuteMessage(portal: "", maximumRows: 0).write(to: &buffer)
            ParseMessage(statement: "", query: "SELECT * FROM nope").write(to: &buffer)
            BindMessage().write(to: &buffer)
            ExecuteMessage(portal: "", maximumRows: 0).write(to: &buffer)
            buffer.writeSync()
            buffer.writeQuery("SELECT count(*) FROM n WHERE i = 50")
        }
        #expect(
            kinds(try await client.untilReady(2)) == [
                "1", "2", "C INSERT 0 1", "E 42P01", "Z I", "T count:int8", "D 0", "C SELECT 1",
                "Z I",
            ])
    }

    @Test("A row limit suspends the portal, which goes on where it stopped")
    func suspendedPortal() async throws {
        let client = try await SQLiteFixture(schema).client()
        _ = try await client.query("BEGIN")
        client.send { buffer in
            ParseMessage(statement: "", query: "SELECT i FROM n ORDER BY i").write(to: &buffer)
            BindMessage(portal: "c").write(to: &buffer)
            ExecuteMessage(portal: "c", maximumRows: 2).write(to: &buffer)
            buffer.writeSync()
        }
        #expect(try await client.untilReady() == ["1", "2", "D 1", "D 2", "s", "Z T"])
        // Another statement in between, and a write that the portal must not see.
        #expect(try await client.query("DELETE FROM n") == ["C DELETE 4", "Z T"])
        client.send { buffer in
            ExecuteMessage(portal: "c", maximumRows: 2).write(to: &buffer)
            ExecuteMessage(portal: "c", maximumRows: 2).write(to: &buffer)
            buffer.writeSync()
        }
        #expect(
            try await client.untilReady() == ["D 3", "D 4", "s", "C SELECT 4", "Z T"])
        _ = try await client.query("ROLLBACK")
        client.send { buffer in
            ExecuteMessage(portal: "c", maximumRows: 0).write(to: &buffer)
            buffer.writeSync()
        }
        #expect(kinds(try await client.untilReady()) == ["E 34000", "Z I"])
    }

    @Test("Unknown and duplicate names are the errors that PostgreSQL gives")
    func names() async throws {
        let client = try await SQLiteFixture(schema).client()
        client.send { buffer in
            ParseMessage(statement: "s", query: "SELECT 1").write(to: &buffer)
            ParseMessage(statement: "s", query: "SELECT 1").write(to: &buffer)
            buffer.writeSync()
            BindMessage(statement: "nope").write(to: &buffer)
            buffer.writeSync()
            ExecuteMessage(portal: "nope", maximumRows: 0).write(to: &buffer)
            buffer.writeSync()
            BindMessage(statement: "s", parameters: [nil]).write(to: &buffer)
            buffer.writeSync()
            ParseMessage(statement: "", query: "SELECT 1; SELECT 2").write(to: &buffer)
            buffer.writeSync()
        }
        #expect(
            kinds(try await client.untilReady(5)) == [
                "1", "E 42P05", "Z I", "E 26000", "Z I", "E 34000", "Z I", "E 08P01", "Z I",
                "E 42601", "Z I",
            ])
    }

    @Test("A statement whose result changed with the schema is refused, not answered otherwise")
    func changedResult() async throws {
        let client = try await SQLiteFixture(schema).client()
        client.send { buffer in
            ParseMessage(statement: "s", query: "SELECT * FROM n WHERE i = 1").write(to: &buffer)
            buffer.writeSync()
        }
        _ = try await client.untilReady()
        _ = try await client.query("ALTER TABLE n ADD COLUMN x TEXT")
        client.send { buffer in
            BindMessage(statement: "s").write(to: &buffer)
            ExecuteMessage(portal: "", maximumRows: 0).write(to: &buffer)
            buffer.writeSync()
        }
        #expect(kinds(try await client.untilReady()) == ["E 0A000", "Z I"])
    }
}
