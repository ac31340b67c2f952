import Foundation
import SQLAnalysis
import Testing

@testable import Upstream

/// Asks PostgreSQL itself whether what analysis says of rows is true, for thousands of random
/// statements. `MYNAH_TEST_SEED` and `MYNAH_TEST_STATEMENTS` make it others, and more.
@Suite("Keys against the server", .serialized)
struct KeyTruthTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let seed = environment["MYNAH_TEST_SEED"].flatMap(UInt64.init) ?? 20_250_101
    private static let count = environment["MYNAH_TEST_STATEMENTS"].flatMap(Int.init) ?? 2_000

    private struct Fixture {
        let catalog: PostgreSQLCatalog
        let connection: DirectConnection

        init() async throws {
            let server = try PostgreSQLTestServer.shared()
            let database = "keys_" + UUID().uuidString.replacing("-", with: "").lowercased()
            try server.execute("CREATE DATABASE \(database) TEMPLATE template0")
            try server.execute(KeyTruthSchema.sql, database: database)
            let control = ControlConnection(
                conninfo: server.connectionString(), database: database, user: nil,
                onServerChanged: {})
            defer { control.close() }
            catalog = PostgreSQLCatalog(try await control.run(PostgreSQLCatalogReader.read))
            connection = try DirectConnection(server.connectionString(database: database))
        }

        func profile(_ sql: String) throws -> StatementProfile {
            let profile = ProfileResolver.profile(
                of: try SyntaxAnalysis.facts(of: sql), catalog: catalog,
                context: ResolutionContext(
                    database: "x", sessionUser: "u", currentRole: "u", searchPath: "public"),
                parameterTypes: [], catalogVersion: 0)
            return try #require(profile.statements.first)
        }

        func identifier(_ table: String) throws -> RelationIdentifier {
            let path = SearchPath("public", sessionUser: "u", currentRole: "u")
            let relations = catalog.relations(named: RelationName(name: table), path: path)
            return try #require(relations.first).relation.identifier
        }
    }

    private static func sql(_ operand: KeyOperand, _ parameters: [String]) -> String {
        switch operand {
        case .value(.integer(let value)): "\(value)"
        case .value(.text(let bytes)): "'\(String(decoding: bytes, as: UTF8.self))'"
        case .parameter(let index, _): "'\(parameters[index])'"
        case .null: "NULL"
        default: preconditionFailure("no such operand among these statements")
        }
    }

    // MARK: Reads

    @Test("Rows outside a read's keys change nothing in its answer")
    func reads() async throws {
        let fixture = try await Fixture()
        var random = RandomStatements(seed: Self.seed)
        var answered = 0
        var keyed = 0
        var withRows = 0
        for number in 0..<Self.count {
            if number % 40 == 0 { try Self.refill(fixture.connection, &random) }
            let sql = random.select()
            let parameters = random.parameters
            let answer = Self.answer(sql, parameters, fixture.connection)
            guard let answer else { continue }
            answered += 1
            let profile = try fixture.profile(sql)
            let scopes = try Self.keyedScopes(profile, parameters, fixture)
            if scopes.isEmpty { continue }
            keyed += 1
            if answer != "" { withRows += 1 }
            for _ in 0..<3 {
                try fixture.connection.execute("BEGIN")
                for (table, scope) in scopes {
                    try Self.disturb(table, outside: scope, fixture.connection, &random)
                }
                let other = Self.answer(sql, parameters, fixture.connection)
                try fixture.connection.execute("ROLLBACK")
                #expect(
                    other == answer,
                    "seed \(Self.seed), statement \(number): \(sql) \(parameters) \(scopes)")
                if other != answer { return }
            }
        }
        // The generator must not have come to nothing.
        #expect(answered > Self.count / 2 && keyed > Self.count / 4 && withRows > Self.count / 10)
    }

    private static func answer(
        _ sql: String, _ parameters: [String], _ connection: DirectConnection
    ) -> String? {
        connection.rows(
            "SELECT coalesce(string_agg(q::text, ';' ORDER BY q::text), '') FROM (\(sql)) q",
            parameters)?[0][0]
    }

    /// The rows that matter, as a condition, for each table that is not read wholly.
    private static func keyedScopes(
        _ profile: StatementProfile, _ parameters: [String], _ fixture: Fixture
    ) throws -> [(table: String, scope: String)] {
        try KeyTruthSchema.read.compactMap { table in
            let identifier = try fixture.identifier(table.name)
            let own = profile.dependencies.filter { $0.relation == identifier }
            var tuples: [String] = []
            for dependency in own {
                guard case .keyed(let rows) = dependency.scope else { return nil }
                for tuple in rows.tuples {
                    let parts = zip(rows.columns, tuple).map {
                        "\($0) = \(sql($1, parameters))"
                    }
                    tuples.append("(" + parts.joined(separator: " AND ") + ")")
                }
            }
            // A table that is not read at all matters least.
            return (table.name, tuples.isEmpty ? "false" : tuples.joined(separator: " OR "))
        }.filter { pair in
            profile.readSet.contains { $0.name == pair.table }
        }
    }

    private static func refill(
        _ connection: DirectConnection, _ random: inout RandomStatements
    ) throws {
        try connection.execute("TRUNCATE a, b, c, d, e")
        for table in KeyTruthSchema.read {
            let rows = randomRows(table, 6, &random)
            try connection.execute("INSERT INTO \(table.name) \(rows) ON CONFLICT DO NOTHING")
        }
    }

    private static func randomRows(
        _ table: KeyTruthSchema.Table, _ count: Int, _ random: inout RandomStatements
    ) -> String {
        let types = ["id": "int", "x": "int", "y": "smallint", "z": "int", "s": "text"]
        let rows = (0..<count).map { _ in
            let values = table.columns.map { column -> String in
                if column != "id", random.chance(15) { return "NULL::\(types[column] ?? "")" }
                let value =
                    column == "s"
                    ? random.pick(["p", "q", "r"]) : random.pick(["0", "1", "2", "3"])
                return "'\(value)'::\(types[column] ?? "")"
            }
            return "(" + values.joined(separator: ", ") + ")"
        }
        return "SELECT * FROM (VALUES \(rows.joined(separator: ", "))) v("
            + table.columns.joined(separator: ", ") + ")"
    }

    private static func disturb(
        _ table: String, outside scope: String, _ connection: DirectConnection,
        _ random: inout RandomStatements
    ) throws {
        let kind = random.pick([0, 1, 2])
        if kind != 1 {
            try connection.execute("DELETE FROM \(table) WHERE (\(scope)) IS NOT TRUE")
        }
        if kind != 0, let table = KeyTruthSchema.read.first(where: { $0.name == table }) {
            let rows = randomRows(table, 4, &random)
            try connection.execute(
                "INSERT INTO \(table.name) \(rows) WHERE (\(scope)) IS NOT TRUE "
                    + "ON CONFLICT DO NOTHING")
        }
    }

    // MARK: Writes

    @Test("Every row that a write changes has, before and after, the values that it is pinned to")
    func writes() async throws {
        let fixture = try await Fixture()
        var random = RandomStatements(seed: Self.seed)
        var changed = 0
        var pinned = 0
        for number in 0..<Self.count {
            let sql = random.write()
            let parameters = random.parameters
            try fixture.connection.execute("BEGIN")
            defer { _ = fixture.connection.rows("ROLLBACK") }
            guard fixture.connection.rows(sql, parameters) != nil else { continue }
            let profile = try fixture.profile(sql)
            guard case .relations(let relations) = profile.writeSet else {
                Issue.record("\(sql): \(profile.writeSet)")
                continue
            }
            for table in KeyTruthSchema.written {
                let pins = relations[try fixture.identifier(table.name)]
                let condition = Self.condition(pins, parameters)
                let name = table.name
                let counts = fixture.connection.rows(
                    """
                    SELECT count(*), count(*) FILTER (WHERE (\(condition)) IS NOT TRUE) FROM (
                        (TABLE \(name) EXCEPT ALL TABLE \(name)0)
                        UNION ALL (TABLE \(name)0 EXCEPT ALL TABLE \(name))) d
                    """)
                if counts?[0][0] != "0" {
                    changed += 1
                    if condition != "true" { pinned += 1 }
                }
                #expect(
                    counts?[0][1] == "0",
                    "seed \(Self.seed), \(number): \(sql) \(parameters) \(name): \(condition)"
                )
            }
        }
        #expect(changed > Self.count / 8 && pinned > Self.count / 16)
    }

    private static func condition(_ pins: RowPins?, _ parameters: [String]) -> String {
        guard let pins else { return "false" }
        let columns = pins.columns.map { column, operands in
            let values = operands.filter { $0 != .null }.map { sql($0, parameters) }
            let isNull = operands.contains(.null) ? " OR \(column) IS NULL" : ""
            let isOneOf =
                values.isEmpty ? "false" : "\(column) IN (\(values.joined(separator: ", ")))"
            return "(\(isOneOf)\(isNull))"
        }
        return columns.isEmpty ? "true" : columns.joined(separator: " AND ")
    }
}
