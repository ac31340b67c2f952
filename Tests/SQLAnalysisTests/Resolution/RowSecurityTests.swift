import Telemetry
import Testing

@testable import SQLAnalysis

@Suite("Row-level security")
struct RowSecurityTests {
    /// The sample catalog with these policies on `secret` (and on `line`, which gets row-level
    /// security where it has one).
    private static func profile(
        _ sql: String, secret: [String?] = [], line: [String] = []
    ) throws -> StatementProfile {
        var rows = SampleCatalog.rows
        rows.policies =
            secret.map { .init(relation: 40_007, condition: $0) }
            + line.map { .init(relation: 40_003, condition: $0) }
        if !line.isEmpty {
            for index in rows.classes.indices where rows.classes[index].oid == 40_003 {
                rows.classes[index].hasRowSecurity = true
            }
        }
        return try #require(
            ProfileResolver.profile(
                of: try SyntaxAnalysis.facts(of: sql), catalog: PostgreSQLCatalog(rows),
                context: ResolutionContext(
                    database: "shop", sessionUser: "app", currentRole: "app",
                    searchPath: "public"),
                parameterTypes: [], catalogVersion: 1
            ).statements.first)
    }

    private static func relations(_ profile: StatementProfile) -> Set<String> {
        Set(profile.readSet.map(\.identifier.rawValue))
    }

    @Test(
        "A policy whose inputs are in the key leaves its table cacheable",
        arguments: [
            "true", "(name = CURRENT_USER)", "(owner = (SESSION_USER)::text)",
            "(id = (current_setting('app.tenant'::text))::integer)",
            "(id = (current_setting('App.Tenant'::text, true))::integer)",
            "(lower(name) = current_setting('role'))",
        ])
    func cacheable(condition: String) throws {
        let profile = try Self.profile("SELECT * FROM secret", secret: [condition])
        #expect(profile.isCacheable)
        #expect(Self.relations(profile) == ["40007"])
        #expect(
            profile.settingsRead
                == (condition.lowercased().contains(".tenant") ? ["app.tenant"] : []))
        #expect(try Self.profile("SELECT * FROM hidden_v", secret: [condition]).isCacheable)
    }

    @Test("A table without a policy, or with one for writes alone, shows nothing to anybody")
    func withoutPolicy() throws {
        #expect(try Self.profile("SELECT * FROM secret").isCacheable)
        #expect(try Self.profile("SELECT * FROM secret", secret: [nil]).isCacheable)
    }

    @Test(
        "A policy that depends on anything else keeps its table out of the cache",
        arguments: [
            "(id > random())", "(now() > '2024-01-01')", "(name = current_setting('x'))",
            "(name = current_setting(name))", "(name = current_setting('session_authorization'))",
            "has_table_privilege('a', 'b')", "public.reader() > 1", "public.pure() = 1",
            "(name ~=~ 'x')",
            "(name = CURRENT_CATALOG)", "EXISTS (SELECT 1 FROM public.remote)",
            "EXISTS (SELECT 1 FROM pg_catalog.pg_class)", "EXISTS (SELECT 1 FROM public.gone)",
            "(name = other.current_setting('app.tenant'))", "nonsense (", "true; SELECT 1",
            "(current_date > '2024-01-01'::date)",
        ])
    func refused(condition: String) throws {
        for sql in ["SELECT * FROM secret", "SELECT * FROM hidden_v"] {
            let profile = try Self.profile(sql, secret: ["true", condition])
            #expect(profile.bypassReason == .rowLevelSecurity)
        }
        #expect(try Self.profile("SELECT * FROM customer", secret: [condition]).isCacheable)
    }

    @Test("What policies read joins the read set, with the policies of that")
    func subqueries() throws {
        let condition = "EXISTS (SELECT 1 FROM public.line l WHERE l.id = secret.id)"
        let one = try Self.profile("SELECT * FROM secret", secret: [condition])
        #expect(one.isCacheable && Self.relations(one) == ["40007", "40003"])
        #expect(one.dependencies.allSatisfy { $0.scope == .all })
        let two = try Self.profile(
            "SELECT * FROM secret", secret: [condition],
            line: ["id IN (SELECT id FROM public.nested_v) AND current_setting('a.b') = 'x'"])
        #expect(two.isCacheable && Self.relations(two) == ["40007", "40003", "40001"])
        #expect(two.settingsRead == ["a.b"])
        let three = try Self.profile(
            "SELECT * FROM secret", secret: [condition], line: ["random() > 0"])
        #expect(three.bypassReason == .rowLevelSecurity)
        // Policies that go in a circle are an error in the server, and an end here.
        let circle = try Self.profile(
            "SELECT * FROM secret", secret: [condition], line: ["id IN (SELECT id FROM secret)"])
        #expect(Self.relations(circle).isSuperset(of: ["40003"]))
    }

    @Test("A policy that writes makes reading a write")
    func writing() throws {
        let profile = try Self.profile("SELECT * FROM secret", secret: ["public.writer() = 1"])
        #expect(profile.writeSet == .relations([RelationIdentifier("40003")]))
        #expect(profile.kind == .write && !profile.isCacheable)
        let write = try Self.profile("DELETE FROM secret", secret: ["public.writer() = 1"])
        #expect(
            write.writeSet
                == .relations([RelationIdentifier("40003"), RelationIdentifier("40007")]))
    }

    @Test("An earlier reason stays")
    func earlierReason() throws {
        #expect(
            try Self.profile("SELECT random() FROM secret FOR UPDATE", secret: ["random() > 0"])
                .bypassReason == .lockingClause)
    }
}

@Suite("Settings and identity in queries")
struct KnownSettingTests {
    private func profile(_ sql: String) throws -> StatementProfile {
        try #require(
            ProfileResolver.profile(
                of: try SyntaxAnalysis.facts(of: sql), catalog: SampleCatalog.catalog,
                context: ResolutionContext(
                    database: "shop", sessionUser: "app", currentRole: "app",
                    searchPath: "public"),
                parameterTypes: [], catalogVersion: 1
            ).statements.first)
    }

    @Test("A dotted setting of constant name is an input that the session knows")
    func dotted() throws {
        let profile = try profile(
            "SELECT * FROM customer WHERE name = current_setting('App.Tenant', true) "
                + "OR name = pg_catalog.current_setting('a.b')")
        #expect(profile.isCacheable)
        #expect(profile.settingsRead == ["app.tenant", "a.b"])
        #expect(
            try self.profile("SELECT current_setting('timezone') FROM customer").isCacheable)
    }

    @Test(
        "Any other is not",
        arguments: [
            "current_setting('work_mem')", "current_setting(name)", "current_setting($1)",
            "current_setting('a' || '.b')", "current_setting('default_transaction_isolation')",
            "current_setting('a.b') || current_setting(name)",
        ])
    func others(expression: String) throws {
        #expect(
            try profile("SELECT \(expression) FROM customer").bypassReason == .stableFunction)
    }

    @Test("Who asks is in the key")
    func identity() throws {
        for expression in ["current_user", "session_user", "user", "current_role"] {
            #expect(try profile("SELECT \(expression) FROM customer").isCacheable)
        }
    }
}
