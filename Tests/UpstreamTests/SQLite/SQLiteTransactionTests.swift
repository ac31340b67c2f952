import PostgresWire
import Testing

@testable import Upstream

@Suite("SQLite link: transactions") struct SQLiteTransactionTests {
    let schema = """
        CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
        CREATE TABLE entry (id INTEGER PRIMARY KEY,
            account INTEGER REFERENCES account (id) DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO account VALUES (1, 100), (2, 200);
        """

    private func balance(_ client: SQLiteClient, _ id: Int = 1) async throws -> String {
        let replies = try await client.query("SELECT balance FROM account WHERE id = \(id)")
        return String(replies.first { $0.hasPrefix("D") }?.dropFirst(2) ?? "none")
    }

    @Test("A failed block refuses everything until its end, and COMMIT is then ROLLBACK")
    func failedBlock() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(try await client.query("BEGIN") == ["C BEGIN", "Z T"])
        _ = try await client.query("UPDATE account SET balance = 0 WHERE id = 1")
        #expect(kinds(try await client.query("SELECT nope")) == ["E 42703", "Z E"])
        #expect(kinds(try await client.query("SELECT 1")) == ["E 25P02", "Z E"])
        #expect(kinds(try await client.query("nonsense")) == ["E 25P02", "Z E"])
        #expect(try await client.query("COMMIT") == ["C ROLLBACK", "Z I"])
        #expect(try await balance(client) == "100")
    }

    @Test("BEGIN in a block and COMMIT outside one only warn")
    func warnings() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(kinds(try await client.query("COMMIT")) == ["N 25P01", "C COMMIT", "Z I"])
        _ = try await client.query("BEGIN")
        #expect(kinds(try await client.query("BEGIN")) == ["N 25001", "C BEGIN", "Z T"])
        #expect(try await client.query("ROLLBACK") == ["C ROLLBACK", "Z I"])
        #expect(kinds(try await client.query("ROLLBACK")) == ["N 25P01", "C ROLLBACK", "Z I"])
    }

    @Test("Savepoints roll back part of a block, also those set before the first write")
    func savepoints() async throws {
        let client = try await SQLiteFixture(schema).client()
        _ = try await client.query("BEGIN; SAVEPOINT a")
        _ = try await client.query("UPDATE account SET balance = 1 WHERE id = 1")
        #expect(try await client.query("SAVEPOINT b") == ["C SAVEPOINT", "Z T"])
        _ = try await client.query("UPDATE account SET balance = 2 WHERE id = 1")
        #expect(
            kinds(try await client.query("INSERT INTO account VALUES (1, 1)")) == [
                "E 23505", "Z E",
            ])
        #expect(try await client.query("ROLLBACK TO b") == ["C ROLLBACK", "Z T"])
        #expect(try await balance(client) == "1")
        #expect(try await client.query("RELEASE b") == ["C RELEASE", "Z T"])
        #expect(try await client.query("ROLLBACK TO SAVEPOINT a") == ["C ROLLBACK", "Z T"])
        #expect(try await balance(client) == "100")
        _ = try await client.query("UPDATE account SET balance = 7 WHERE id = 2")
        #expect(kinds(try await client.query("ROLLBACK TO nope")) == ["E 3B001", "Z E"])
        _ = try await client.query("ROLLBACK TO a")
        #expect(try await client.query("COMMIT") == ["C COMMIT", "Z I"])
        #expect(try await balance(client, 2) == "200")
    }

    @Test("Reads in a READ COMMITTED block see what others have committed since")
    func readCommitted() async throws {
        let fixture = try SQLiteFixture(schema)
        let reader = try await fixture.client()
        let writer = try await fixture.client()
        _ = try await reader.query("BEGIN")
        #expect(try await balance(reader) == "100")
        _ = try await writer.query("UPDATE account SET balance = 5 WHERE id = 1")
        #expect(try await balance(reader) == "5")
    }

    @Test("A READ ONLY REPEATABLE READ block keeps its snapshot and refuses writes")
    func snapshot() async throws {
        let fixture = try SQLiteFixture(schema)
        let reader = try await fixture.client()
        let writer = try await fixture.client()
        _ = try await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        #expect(try await balance(reader) == "100")
        #expect(
            try await writer.query("UPDATE account SET balance = 5 WHERE id = 1") == [
                "C UPDATE 1", "Z I",
            ])
        #expect(try await balance(reader) == "100")
        #expect(
            kinds(try await reader.query("DELETE FROM account")) == ["E 25006", "Z E"])
        _ = try await reader.query("ROLLBACK")
        #expect(try await balance(reader) == "5")
    }

    @Test("A REPEATABLE READ block that may write owns the writer from its first statement")
    func serializable() async throws {
        let fixture = try SQLiteFixture(schema) { $0.lockTimeout = .milliseconds(50) }
        let first = try await fixture.client()
        let second = try await fixture.client()
        _ = try await first.query("BEGIN ISOLATION LEVEL SERIALIZABLE")
        #expect(try await balance(first) == "100")
        #expect(
            kinds(try await second.query("UPDATE account SET balance = 5 WHERE id = 1")) == [
                "E 55P03", "Z I",
            ])
        #expect(try await balance(second) == "100")
        _ = try await first.query("UPDATE account SET balance = balance + 1 WHERE id = 1; COMMIT")
        #expect(try await balance(second) == "101")
    }

    @Test("Whoever waits for the writer goes on when it comes free")
    func queue() async throws {
        let fixture = try SQLiteFixture(schema)
        let first = try await fixture.client()
        let second = try await fixture.client()
        _ = try await first.query("BEGIN; UPDATE account SET balance = balance + 1 WHERE id = 1")
        second.send { $0.writeQuery("UPDATE account SET balance = balance * 2 WHERE id = 1") }
        _ = try await first.query("SELECT balance FROM account WHERE id = 1; COMMIT")
        #expect(try await second.untilReady() == ["C UPDATE 1", "Z I"])
        #expect(try await balance(first) == "202")
    }

    @Test("A link that closes in its transaction rolls back and frees the writer")
    func closeRollsBack() async throws {
        let fixture = try SQLiteFixture(schema)
        let first = try await fixture.client()
        let second = try await fixture.client()
        _ = try await first.query("BEGIN; UPDATE account SET balance = 0")
        try await first.close()
        #expect(
            try await second.query("UPDATE account SET balance = balance + 1 WHERE id = 1") == [
                "C UPDATE 1", "Z I",
            ])
        #expect(try await balance(second) == "101")
    }

    @Test("A deferred foreign key that fails at COMMIT fails the COMMIT")
    func deferredConstraint() async throws {
        let client = try await SQLiteFixture(schema).client()
        _ = try await client.query("BEGIN; INSERT INTO entry VALUES (1, 99)")
        #expect(kinds(try await client.query("COMMIT")) == ["E 23503", "Z I"])
        #expect(
            kinds(try await client.query("INSERT INTO entry VALUES (1, 99)")) == ["E 23503", "Z I"])
        #expect(try await client.query("SELECT count(*) FROM entry").contains("D 0"))
    }

    @Test("SET is undone by ROLLBACK and told to the client")
    func settings() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(
            try await client.query("SET TimeZone TO 'Europe/Berlin'") == [
                "S TimeZone=Europe/Berlin", "C SET", "Z I",
            ])
        _ = try await client.query("BEGIN")
        #expect(
            try await client.query("SET application_name = 'x'") == [
                "S application_name=x", "C SET", "Z T",
            ])
        #expect(
            try await client.query("ROLLBACK") == ["S application_name=", "C ROLLBACK", "Z I"])
        _ = try await client.query("BEGIN; SET LOCAL search_path = a, b")
        #expect(try await client.query("SHOW search_path").contains("D a, b"))
        _ = try await client.query("COMMIT")
        #expect(
            try await client.query("SHOW search_path") == [
                "T search_path:text", "D \"$user\", public", "C SHOW", "Z I",
            ])
        #expect(
            try await client.query("DISCARD ALL") == ["S TimeZone=UTC", "C DISCARD ALL", "Z I"])
        _ = try await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        #expect(try await client.query("SHOW transaction_isolation").contains("D repeatable read"))
        #expect(try await client.query("SHOW transaction_read_only").contains("D on"))
    }

    @Test("PREPARE, EXECUTE and DEALLOCATE work in SQL")
    func prepared() async throws {
        let client = try await SQLiteFixture(schema).client()
        #expect(
            try await client.query("PREPARE p (int) AS SELECT balance FROM account WHERE id = $1")
                == ["C PREPARE", "Z I"])
        #expect(
            try await client.query("EXECUTE p(2)") == [
                "T balance:int8", "D 200", "C SELECT 1", "Z I",
            ])
        #expect(
            kinds(try await client.query("PREPARE p AS SELECT 1")) == ["E 42P05", "Z I"])
        #expect(try await client.query("DEALLOCATE p") == ["C DEALLOCATE", "Z I"])
        #expect(kinds(try await client.query("EXECUTE p(2)")) == ["E 26000", "Z I"])
    }
}
