import SQLAnalysis
import Testing

@testable import Upstream

@Suite("Function and trigger bodies of a real catalog")
struct FunctionBodyAnalyzerTests {
    private static let writeModes =
        "'RowExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock'"

    /// Every change of a table's rows takes one of these locks on it until the transaction ends.
    private static func changed(_ sql: String, _ fixture: AnalyzerFixture) throws -> Set<String> {
        try fixture.locked(sql, modes: writeModes)
    }

    @Test("What the server changes by its own code is in the predicted write set")
    func transparent() async throws {
        let fixture = try AnalyzerFixture(BodySchema.sql)
        #expect(BodySchema.transparent.count > 50)
        for sql in BodySchema.transparent {
            let profile = try await fixture.profile(sql)
            #expect(profile.kind == .write && profile.bypassReason != nil, "\(sql)")
            #expect(!profile.taintsSession && !profile.mayEndTransaction, "\(sql)")
            let truth = try Self.changed(sql, fixture)
            guard case .relations(let relations) = profile.writeSet else {
                Issue.record("\(sql): \(profile.writeSet)")
                continue
            }
            let predicted = Set(relations.keys.map(\.rawValue))
            #expect(
                !truth.isEmpty && truth.isSubset(of: predicted), "\(sql): \(truth) \(predicted)")
        }
    }

    @Test("Code that cannot be seen through changes something, and everything is predicted")
    func opaque() async throws {
        let fixture = try AnalyzerFixture(BodySchema.sql)
        for sql in BodySchema.opaque {
            #expect(try !Self.changed(sql, fixture).isEmpty || sql.contains("table"), "\(sql)")
            #expect(try await fixture.writes(sql) == .everythingAndCatalog, "\(sql)")
        }
    }

    @Test("Write sets of code are no larger than its names make them")
    func exact() async throws {
        let fixture = try AnalyzerFixture(BodySchema.sql)
        func writes(_ sql: String, _ tables: String...) async throws {
            let expected = try tables.map { RelationIdentifier(try fixture.oid($0)) }
            #expect(try await fixture.writes(sql) == .relations(Set(expected)), "\(sql)")
        }
        try await writes("SELECT f_nested()", "b")
        try await writes("SELECT f_path()", "a", "s.a")
        try await writes("INSERT INTO each VALUES (1)", "each", "audit")
        try await writes("INSERT INTO own VALUES (1)", "own")
        try await writes("DELETE FROM p", "p", "k", "audit")
        try await writes("INSERT INTO chain_1 VALUES (1)", "chain_1", "chain_2", "audit")
        try await writes("TRUNCATE part", "part")
        try await writes("SELECT f_literals()", "c")
        try await writes("CALL q(1)", "b")
        try await writes("SELECT sum_and_write(id) FROM b", "c")
    }

    @Test("What the server reads for a policy is in the read set")
    func rowSecurity() async throws {
        let fixture = try AnalyzerFixture(
            """
            CREATE TABLE acl (owner text, item int); CREATE TABLE shared (id int, tenant text);
            ALTER TABLE shared ENABLE ROW LEVEL SECURITY;
            CREATE POLICY mine ON shared USING (tenant = current_setting('app.tenant', true)
                AND EXISTS (SELECT FROM acl WHERE item = shared.id AND owner = current_user));
            CREATE POLICY own_rows ON shared FOR UPDATE USING (tenant = session_user)
                WITH CHECK (random() > 2);
            CREATE VIEW shared_v AS SELECT id FROM shared;
            CREATE TABLE dice (id int); ALTER TABLE dice ENABLE ROW LEVEL SECURITY;
            CREATE POLICY p ON dice USING (random() > 0.5);
            """)
        let role = "reader_" + fixture.database
        try fixture.server.execute(
            "CREATE ROLE \(role); GRANT SELECT ON ALL TABLES IN SCHEMA public TO \(role)",
            database: fixture.database)
        for sql in ["SELECT * FROM shared", "SELECT * FROM shared_v"] {
            let profile = try await fixture.profile(sql)
            #expect(profile.isCacheable)
            #expect(profile.settingsRead == ["app.tenant"])
            #expect(Set(profile.readSet.map(\.name)) == ["shared", "acl"])
        }
        let truth = try fixture.locked(
            "SET LOCAL ROLE \(role); SELECT * FROM shared", modes: "'AccessShareLock'")
        #expect(try truth == [fixture.oid("shared"), fixture.oid("acl")])
        #expect(try await fixture.profile("SELECT * FROM dice").bypassReason == .rowLevelSecurity)
    }
}
