import Foundation
import ResultCache
import SQLAnalysis
import Testing

@testable import Upstream

/// A database of its own on the shared server, with an analyzer.
struct AnalyzerFixture {
    let server: PostgreSQLTestServer
    let database: String
    let cells = CellTable()
    let analyzer: PostgreSQLAnalyzer

    init(_ schema: String) throws {
        server = try PostgreSQLTestServer.shared()
        database = "analysis_" + UUID().uuidString.replacing("-", with: "").lowercased()
        try server.execute("CREATE DATABASE \(database) TEMPLATE template0")
        try server.execute(Self.familyFunction + schema, database: database)
        analyzer = PostgreSQLAnalyzer(conninfo: server.connectionString(), cells: cells)
    }

    /// The server's own account of inheritance trees, to compare with.
    private static let familyFunction = """
        CREATE FUNCTION family(oid) RETURNS oid LANGUAGE sql STABLE AS $$
            WITH RECURSIVE tree(member) AS (
                SELECT $1
                UNION
                SELECT CASE WHEN inhrelid = member THEN inhparent ELSE inhrelid END
                FROM tree JOIN pg_inherits ON member IN (inhrelid, inhparent)
            ) SELECT min(member) FROM tree
        $$;

        """

    func query(
        _ sql: String, path: String = "\"$user\", public", types: [UInt32] = []
    ) async -> QueryProfile {
        let context = ResolutionContext(
            database: database, sessionUser: "app", currentRole: "app", searchPath: path)
        return await withCheckedContinuation { continuation in
            let lookup = analyzer.profile(
                of: sql, parameterTypes: types, context: context
            ) { continuation.resume(returning: $0) }
            if case .known(let profile) = lookup { continuation.resume(returning: profile) }
        }
    }

    func profile(
        _ sql: String, path: String = "\"$user\", public", types: [UInt32] = []
    ) async throws -> StatementProfile {
        try #require(await query(sql, path: path, types: types).statements.first)
    }

    /// The relations that `sql` writes, without what is known of the rows.
    func writes(_ sql: String) async throws -> WriteSet {
        let writes = try await profile(sql).writeSet
        guard case .relations(let relations) = writes else { return writes }
        return .relations(Set(relations.keys))
    }

    /// The tables whose lock modes match, by family, after `sql` ran in a transaction of its own:
    /// what the server says that the statement read or wrote.
    func locked(_ sql: String, modes: String) throws -> Set<String> {
        let rows = try server.execute(
            """
            BEGIN;
            \\o /dev/null
            \(sql);
            \\o
            SELECT DISTINCT family(l.relation) FROM pg_locks l
            JOIN pg_class c ON c.oid = l.relation
            WHERE l.pid = pg_backend_pid() AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm')
                AND l.mode IN (\(modes));
            ROLLBACK;
            """, database: database)
        // Notices are among the lines.
        return Set(rows.split(separator: "\n").map(String.init).filter { UInt32($0) != nil })
    }

    func families(_ names: String...) throws -> WriteSet {
        .relations(Set(try names.map { RelationIdentifier(try oid($0)) }))
    }

    func oid(_ name: String) throws -> String {
        try server.execute("SELECT family('\(name)'::regclass)", database: database)
    }

    /// Runs DDL and moves the cells as the session layer would.
    func define(_ sql: String) throws {
        try server.execute(sql, database: database)
        cells.advance(database)
    }
}

extension CellTable {
    fileprivate func advance(_ database: String) {
        WriteWindow.open(CellSet([cell(.catalog(database: database))]))?.close(.committed)
    }
}
