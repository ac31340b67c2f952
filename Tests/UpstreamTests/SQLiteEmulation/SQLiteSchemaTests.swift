import PostgresWire
import Testing

@testable import Upstream

@Suite("SQLite schema")
struct SQLiteSchemaTests {
    @Test("Tables, views, keys and indexes are read")
    func reading() throws {
        let relations = try BookDatabase().schema.relations
        #expect(relations.map(\.name) == ["authors", "books", "cheap_books", "tags"])
        let books = relations[1]
        #expect(books.primaryKey == [0])
        #expect(books.indexes.map(\.name) == ["books_pkey", "books_author_idx", "books_title_key"])
        #expect(books.indexes.map(\.isUnique) == [true, false, true])
        #expect(books.foreignKeys.map(\.name) == ["books_author_id_fkey"])
        #expect(books.foreignKeys[0].onDelete == "CASCADE")
        #expect(relations[0].indexes.map(\.name) == ["authors_pkey", "authors_email_key"])
        #expect(
            relations[2].viewDefinition == "SELECT id, title, price FROM books WHERE price < 10")
        #expect(relations[3].primaryKey == [0, 1])
    }

    @Test("OIDs stay the same when other objects come and go")
    func stableIdentifiers() throws {
        let before = try BookDatabase().schema.relations
        let after = try BookDatabase(
            "CREATE TABLE aaa (x); CREATE TABLE zzz (y PRIMARY KEY);" + BookDatabase.definition
        ).schema.relations
        for relation in before {
            #expect(after.first { $0.name == relation.name }?.oid == relation.oid)
            #expect(relation.oid >= 16384 && relation.oid < 1 << 31)
        }
    }

    @Test("Expression keys, conditions and odd names are taken from the CREATE statement")
    func indexText() throws {
        let relations = try BookDatabase(
            """
            CREATE TABLE "Odd, table" ("a b" TEXT, c INTEGER);
            CREATE INDEX i1 ON "Odd, table" (lower("a b"), c DESC) /* where */ WHERE c > 1 -- x
            """
        ).schema.relations
        let index = try #require(relations.first?.indexes.first)
        #expect(index.keys.map(\.text) == ["lower(\"a b\")", "c"])
        #expect(index.keys.map(\.column) == [nil, 1])
        #expect(index.keys.map(\.isDescending) == [false, true])
        #expect(index.predicate == "c > 1 -- x")
        let definitions = CatalogObjects(relations: relations).indexDefinitions
        #expect(
            definitions[index.oid]
                == "CREATE INDEX i1 ON public.\"Odd, table\" USING btree (lower(\"a b\"), c DESC)"
                + " WHERE (c > 1 -- x)")
    }

    @Test("A view whose table has gone does not hide the other relations")
    func brokenView() throws {
        let relations = try BookDatabase(
            "CREATE TABLE t (a); CREATE VIEW v AS SELECT a FROM t; CREATE TABLE u (b);"
                + "PRAGMA legacy_alter_table = ON; DROP TABLE t"
        ).schema.relations
        #expect(relations.map(\.name) == ["u", "v"])
        #expect(relations[1].columns.isEmpty)
    }

    @Test(
        "Declared types are shown as PostgreSQL's",
        arguments: [
            ("INTEGER", 20, -1), ("int", 20, -1), ("VARCHAR(80)", 1043, 84), ("", 25, -1),
            ("NUMERIC(10,2)", 1700, 655366), ("decimal", 1700, -1), ("BOOLEAN", 16, -1),
            ("TIMESTAMP WITH TIME ZONE", 1184, -1), ("datetime", 1114, -1), ("DATE", 1082, -1),
            ("double precision", 701, -1), ("BLOB", 17, -1), ("interval", 25, -1),
            ("char(3)", 1042, 7), ("uuid", 2950, -1), ("JSONB", 3802, -1),
            ("varchar(99999999999999999999)", 1043, -1), ("numeric(5000)", 1700, -1),
        ] as [(String, UInt32, Int32)])
    func declaredTypes(_ declaration: String, _ oid: UInt32, _ modifier: Int32) {
        let type = SQLiteDeclaredType(declaration)
        #expect(type.typeOID == oid)
        #expect(type.modifier == modifier)
    }
}
