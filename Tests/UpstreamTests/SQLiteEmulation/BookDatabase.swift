import CSQLite
import PostgresWire
import Testing

@testable import Upstream

/// A small SQLite database with tables, a view, indexes, foreign keys and a trigger.
final class BookDatabase {
    static let definition = """
        CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL,
            email VARCHAR(80) UNIQUE, born DATE, active BOOLEAN NOT NULL DEFAULT true);
        CREATE TABLE books (id BIGINT PRIMARY KEY,
            author_id INTEGER NOT NULL REFERENCES authors(id) ON DELETE CASCADE,
            title TEXT NOT NULL, price NUMERIC(10,2) DEFAULT 0, created_at TIMESTAMP,
            rating DOUBLE PRECISION);
        CREATE INDEX books_author_idx ON books (author_id);
        CREATE UNIQUE INDEX books_title_key ON books (author_id, title);
        CREATE TABLE tags (book_id BIGINT NOT NULL, tag TEXT NOT NULL,
            PRIMARY KEY (book_id, tag), FOREIGN KEY (book_id) REFERENCES books(id));
        CREATE VIEW cheap_books AS SELECT id, title, price FROM books WHERE price < 10;
        """

    let connection: OpaquePointer
    let schema: SQLiteSchema

    init(_ definition: String = BookDatabase.definition) throws {
        var opened: OpaquePointer?
        sqlite3_open(":memory:", &opened)
        connection = try #require(opened)
        sqlite3_exec(connection, "PRAGMA case_sensitive_like = ON", nil, nil, nil)
        try #require(sqlite3_exec(connection, definition, nil, nil, nil) == SQLITE_OK)
        schema = try SQLiteSchema.load(from: connection)
    }

    deinit { sqlite3_close_v2(connection) }

    let session = EmulatedSession(
        user: "postgres", database: "app", settings: ["application_name": "tests"],
        backendProcessID: 7, serverVersion: "15.0")

    private var oids: [(name: String, oid: String)] {
        schema.relations.flatMap { relation in
            [(relation.name, String(relation.oid))]
                + relation.indexes.map { ($0.name, String($0.oid)) }
        }
    }

    /// Puts OIDs in the place of `{name}`.
    func filled(_ text: String) -> String {
        oids.reduce(text) { $0.replacing("{\($1.name)}", with: $1.oid) }
    }

    /// The rows, with `{name}` in the place of OIDs.
    func ask(_ sql: String, _ parameters: [String?] = []) throws -> EmulatedAnswer? {
        var answer = try SessionQuestions.answer(
            filled(sql), parameters: parameters.map { $0.map(filled) }, session: session,
            schema: schema)
        let names = Dictionary(oids.map { ($0.oid, "{\($0.name)}") }) { first, _ in first }
        let rows = answer?.rows.map { $0.map { $0.map { names[$0] ?? $0 } } } ?? []
        answer?.rows = rows
        return answer
    }

    /// Runs SQLite's SQL, with texts bound to its parameters; NULL is "NULL".
    func run(_ sql: String, _ parameters: [String] = []) throws -> [[String]] {
        let statement = try CatalogStatement(sql, on: connection)
        for (index, parameter) in parameters.enumerated() {
            statement.bind(parameter, at: index + 1)
        }
        var rows: [[String]] = []
        while try statement.step() {
            rows.append((0..<statement.columnCount).map { statement.text($0) ?? "NULL" })
        }
        return rows
    }
}
