import NIOCore
import PostgresWire
import Testing

@testable import Upstream

@Suite("SQLite link: simple query protocol") struct SQLiteSimpleQueryTests {
    let schema = """
        CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price NUMERIC(10,2),
            stock INT CHECK (stock >= 0), sku VARCHAR(20) UNIQUE);
        INSERT INTO item VALUES (1, 'apple', 1.5, 10, 'a1'), (2, 'pear', 2, 0, 'p1');
        """

    @Test("A SELECT gives typed columns, rows in PostgreSQL's text form and a tag")
    func select() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(
            try await client.query("SELECT id, name, price, sku FROM item ORDER BY id") == [
                "T id:int8,name:text,price:numeric,sku:varchar", "D 1|apple|1.50|a1",
                "D 2|pear|2.00|p1", "C SELECT 2", "Z I",
            ])
    }

    @Test("Writes report how many rows they changed, as PostgreSQL's tags do")
    func tags() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(
            try await client.query("INSERT INTO item (name) VALUES ('fig'), ('nut')") == [
                "C INSERT 0 2", "Z I",
            ])
        #expect(try await client.query("UPDATE item SET stock = 5") == ["C UPDATE 4", "Z I"])
        #expect(
            try await client.query("UPDATE item SET stock = 1 WHERE id = 99") == [
                "C UPDATE 0", "Z I",
            ])
        #expect(
            try await client.query("DELETE FROM item WHERE id > 2 RETURNING name") == [
                "T name:text", "D fig", "D nut", "C DELETE 2", "Z I",
            ])
        #expect(try await client.query("CREATE TABLE t (a int)") == ["C CREATE TABLE", "Z I"])
        #expect(
            try await client.query("CREATE UNIQUE INDEX i ON t (a)") == ["C CREATE INDEX", "Z I"])
        #expect(try await client.query("DROP TABLE t") == ["C DROP TABLE", "Z I"])
    }

    @Test("An empty query gets EmptyQueryResponse")
    func empty() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(try await client.query(" -- nothing\n ; ") == ["I", "Z I"])
    }

    @Test("Several statements in one text are one transaction: a failure undoes all")
    func implicitTransaction() async throws {
        let client = try await SQLiteFixture(schema).client()
        let replies = try await client.query(
            "INSERT INTO item (id, name) VALUES (7, 'x'); INSERT INTO item (id, name) VALUES (1, 'y'); SELECT 1"
        )
        #expect(kinds(replies) == ["C INSERT 0 1", "E 23505", "Z I"])
        #expect(
            try await client.query("SELECT count(*) FROM item WHERE id = 7") == [
                "T count:int8", "D 0", "C SELECT 1", "Z I",
            ])
    }

    @Test("BEGIN inside such a text makes it a block that goes on")
    func explicitInside() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(
            try await client.query("BEGIN; UPDATE item SET stock = 3 WHERE id = 1") == [
                "C BEGIN", "C UPDATE 1", "Z T",
            ])
        #expect(try await client.query("ROLLBACK") == ["C ROLLBACK", "Z I"])
        #expect(
            try await client.query("SELECT stock FROM item WHERE id = 1").contains("D 10"))
    }

    @Test("A trigger's body does not end its statement")
    func trigger() async throws {
        let client = try await SQLiteFixture(schema).client()
        let replies = try await client.query(
            """
            CREATE TRIGGER low AFTER UPDATE ON item BEGIN
                DELETE FROM item WHERE stock = 0; UPDATE item SET name = 'x;y' WHERE id = 1;
            END; SELECT 'a;b' AS v
            """)
        #expect(replies == ["C CREATE TRIGGER", "T v:text", "D a;b", "C SELECT 1", "Z I"])
    }

    @Test(
        "Errors carry PostgreSQL's SQLSTATE",
        arguments: [
            ("SELECT * FROM nope", "42P01"), ("SELECT nope FROM item", "42703"),
            ("SELEC 1", "42601"), ("INSERT INTO item (id, name) VALUES (1, 'x')", "23505"),
            ("INSERT INTO item (name, sku) VALUES ('x', 'a1')", "23505"),
            ("INSERT INTO item (name) VALUES (NULL)", "23502"),
            ("INSERT INTO item (name, stock) VALUES ('x', -1)", "23514"),
            ("SELECT nofunction(1)", "42883"), ("CREATE TABLE item (a int)", "42P07"),
            ("COPY item TO STDOUT", "0A000"), ("LISTEN x", "0A000"),
            ("CREATE TEMP TABLE t (a int)", "0A000"), ("ATTACH 'x' AS y", "0A000"),
            ("VACUUM INTO '/tmp/x'", "0A000"), ("PRAGMA journal_mode = DELETE", "0A000"),
            ("SET nosuch = 1", "42704"), ("SHOW nosuch", "42704"),
            ("SET client_encoding = 'LATIN1'", "0A000"), ("EXECUTE nosuch", "26000"),
            ("SAVEPOINT s", "25P01"), ("SELECT \"nope\" FROM item", "42703"),
            ("SELECT $1", "42P02"), ("SELECT $1000000000", "54000"),
        ])
    func errors(sql: String, state: String) async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(kinds(try await client.query(sql)) == ["E \(state)", "Z I"])
        #expect(try await client.query("SELECT 1 AS one").contains("D 1"))
    }

    @Test("Columns without an alias are named as PostgreSQL names them")
    func columnNames() async throws {
        let client = try await SQLiteFixture(schema).client()
        let replies = try await client.query(
            "SELECT 1, count(*), max(price), coalesce(sku, ''), id + 1, name || 'x', id = 1 FROM item"
        )
        #expect(
            replies.first
                == "T ?column?:int4,count:int8,max:numeric,coalesce:text,?column?:int8,?column?:text,?column?:bool"
        )
    }

    @Test("TRUNCATE empties its table, and EXPLAIN shows the query plan")
    func truncateAndExplain() async throws {
        let client = try await SQLiteFixture(schema).client()
        let plan = try await client.query("EXPLAIN SELECT name FROM item WHERE id = 1")
        #expect(plan.contains { $0.contains("SEARCH item USING INTEGER PRIMARY KEY") })
        #expect(plan.suffix(2) == ["C EXPLAIN", "Z I"])
        #expect(try await client.query("TRUNCATE TABLE item") == ["C TRUNCATE TABLE", "Z I"])
        #expect(try await client.query("SELECT count(*) FROM item").contains("D 0"))
    }

    @Test("Values are shown as PostgreSQL prints them")
    func texts() async throws {
        let client = try await SQLiteFixture(
            """
            CREATE TABLE v (f DOUBLE PRECISION, b BOOLEAN, y BYTEA, d DATE, t TIMESTAMP, u UUID,
                j JSON, n NUMERIC);
            INSERT INTO v VALUES (1e20, 1, x'00ff', '2024-02-29', '2024-02-29T10:00:00.500',
                'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"a": 1}', 0.1), (0.1, 0, x'', NULL, NULL,
                NULL, NULL, 12345678901234567890);
            """
        ).client()
        #expect(
            try await client.query("SELECT * FROM v LIMIT 1") == [
                "T f:float8,b:bool,y:bytea,d:date,t:timestamp,u:uuid,j:json,n:numeric",
                "D 1e+20|t|\\x00ff|2024-02-29|2024-02-29 10:00:00.5|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{\"a\": 1}|0.1",
                "C SELECT 1", "Z I",
            ])
    }

    @Test("A value that does not fit its column's type is an error, never another value")
    func misfits() async throws {
        let client = try await SQLiteFixture(
            """
            CREATE TABLE m (i INTEGER, d DATE, f REAL);
            INSERT INTO m VALUES ('abc', 'not a date', 'x');
            """
        ).client()
        #expect(kinds(try await client.query("SELECT i FROM m")) == ["T i:int8", "E 22003", "Z I"])
        #expect(kinds(try await client.query("SELECT d FROM m")) == ["T d:date", "E 22007", "Z I"])
        #expect(
            kinds(try await client.query("SELECT f FROM m")) == ["T f:float8", "E 22003", "Z I"])
        #expect(
            try await client.query("SELECT CAST(i AS text) AS i FROM m") == [
                "T i:text", "D abc", "C SELECT 1", "Z I",
            ])
    }

    @Test("Text that is not UTF-8 is refused wherever it stands, and nothing more")
    func notUTF8() async throws {
        let client = try await SQLiteFixture(schema).client()
        func quoted(_ bytes: [UInt8]) -> [UInt8] {
            Array("SELECT '".utf8) + bytes + Array("' AS t".utf8) + [0]
        }
        func query(_ text: [UInt8]) async throws -> [String] {
            client.send { buffer in
                buffer.writeInteger(FrontendTag.query)
                buffer.writeInteger(Int32(text.count + 4))
                buffer.writeBytes(text)
            }
            return try await client.untilReady()
        }
        #expect(kinds(try await query(quoted([0xFF, 0xFE]))) == ["E 22021", "Z I"])
        let select = Array("SELECT 1".utf8)
        let parses: [[UInt8]] = [[0] + select + [0xC3, 0, 0, 0], [0xFF, 0] + select + [0, 0, 0]]
        for body in parses {
            client.send { buffer in
                buffer.writeInteger(FrontendTag.parse)
                buffer.writeInteger(Int32(body.count + 4))
                buffer.writeBytes(body)
                buffer.writeSync()
            }
            #expect(kinds(try await client.untilReady()) == ["E 22021", "Z I"])
        }
        client.send { buffer in
            ParseMessage(statement: "", query: "SELECT $1::text").write(to: &buffer)
            BindMessage(parameters: [ByteBuffer(bytes: [0x61, 0xFF])]).write(to: &buffer)
            buffer.writeSync()
        }
        #expect(kinds(try await client.untilReady()) == ["1", "E 22021", "Z I"])
        // The last code points, which decoding uses for the bytes that it cannot read.
        #expect(
            try await query(quoted(Array("\u{10FFFF}\u{10FF00}".utf8))) == [
                "T t:text", "D 0xf48fbfbff48fbc80", "C SELECT 1", "Z I",
            ])
    }

    @Test("Set operations with different numbers of columns are a syntax error")
    func unequalSetOperation() async throws {
        let client = try await SQLiteFixture(schema).client()
        for word in ["UNION", "UNION ALL", "EXCEPT", "INTERSECT"] {
            #expect(
                kinds(try await client.query("SELECT 1, 2 \(word) SELECT 1")) == ["E 42601", "Z I"])
        }
    }
}
