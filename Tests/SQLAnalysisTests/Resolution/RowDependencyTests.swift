import Mutants
import Testing

@testable import SQLAnalysis

private func profile(
    _ sql: String, _ types: [UInt32] = [], path: String = "public",
    catalog: PostgreSQLCatalog = KeyedSampleCatalog.catalog
) throws -> StatementProfile {
    let profile = ProfileResolver.profile(
        of: try SyntaxAnalysis.facts(of: sql), catalog: catalog,
        context: ResolutionContext(
            database: "d", sessionUser: "u", currentRole: "u", searchPath: path),
        parameterTypes: types, catalogVersion: 1)
    return try #require(profile.statements.first)
}

private func reads(
    _ sql: String, _ types: [UInt32] = [], path: String = "public"
) throws -> String {
    KeyedSampleCatalog.text(try profile(sql, types, path: path).dependencies)
}

private func writes(
    _ sql: String, _ types: [UInt32] = [], path: String = "public"
) throws -> String {
    KeyedSampleCatalog.text(try profile(sql, types, path: path).writeSet)
}

@Suite("The rows that a read depends on")
struct RowDependencyTests {
    @Test(
        "Conditions that every row of the answer meets make a key",
        arguments: [
            ("select * from t where id = 5", "t id: 5"),
            ("select * from t where 5 = t.id and s like 'x%'", "t id: 5"),
            ("select * from t x where (x.id = -5)", "t id: -5"),
            ("select * from t where id = 0", "t id: 0"),
            ("select * from t where id = - 3 and a = 1", "t id: -3"),
            ("select * from t where id = 3000000000", "t id: 3000000000"),
            ("select * from t where id = '7'", "t id: 7"),
            ("select * from t where id = '7'::int8", "t id: 7"),
            ("select * from t where id = 7::bigint", "t id: 7"),
            ("select * from t where id in (1, 2, 2, null)", "t id: 1 2 null"),
            ("select * from t where id = any (array[1, 2])", "t id: 1 2"),
            ("select * from t where s = 'a'", "t s: 'a'"),
            ("select * from t where v = 'a' || 'b' and v = 'ab'", "t v: 'ab'"),
            ("select * from t where s = any (array['a', 'b'])", "t s: 'a' 'b'"),
            ("select * from t where d = '2000-03-01'", "t d: day 60"),
            ("select * from t where d = date '1999-12-31'", "t d: day -1"),
            (
                "select * from t where u = '01000000-0000-0000-0000-0000000000fF'",
                "t u: uuid 1…255"
            ),
            ("select * from t where f = true", "t f: true"),
            ("select * from t where f = false and a = 4", "t a: 4"),
            ("select * from t where a = 4 and b = 2", "t a: 4"),
            ("select * from r where k = 4 and t_id = 2", "r t_id: 2"),
            ("select * from t where id in (1, 2) and id = 1", "t id: 1"),
            // Composite keys, and rows.
            ("select * from p where b = 2 and a = 1", "p a,b: 1/2"),
            ("select * from p where b in (2, 3) and a in (1, 4)", "p a,b: 1/2 1/3 4/2 4/3"),
            ("select * from p where (a, b) = (1, 2)", "p a,b: 1/2"),
            ("select * from p where a = 1 and e = 3", "p e: 3"),
            ("select * from p where a = 1 and b = 2 and e = 3", "p a,b: 1/2"),
            ("select * from p where note = 'x' and b = 2", "p b: 2"),
            // Joins.
            ("select * from t join r on r.t_id = t.id where t.id = 5", "r t_id: 5; t id: 5"),
            ("select * from t, r where r.t_id = t.id and t_id = 5", "r t_id: 5; t id: 5"),
            ("select * from t join r on r.t_id = t.id and t.id = 5", "r t_id: 5; t id: 5"),
            ("select * from t join p using (a) where a = 5 and id = 3", "p a: 5; t id: 3"),
            ("select * from t join p using (a) where t.a = 5", "p a: 5; t a: 5"),
            ("select * from t left join r on r.t_id = t.id where t.id = 5", "r t_id: 5; t id: 5"),
            ("select * from t left join r on r.t_id = t.id where r.id = 5", "r id: 5; t all"),
            ("select * from t left join r on r.t_id = 5", "r t_id: 5; t all"),
            ("select * from t left join r on t.id = 5", "r all; t all"),
            ("select * from t left join r on r.t_id = t.id and r.t_id = 5", "r t_id: 5; t all"),
            (
                "select * from t right join r on r.t_id = t.id where r.t_id = 5",
                "r t_id: 5; t id: 5"
            ),
            ("select * from t full join r on r.t_id = t.id where r.t_id = 5", "r t_id: 5; t all"),
            ("select * from t full join r on t.id = 5", "r all; t all"),
            (
                "select * from t join r on r.t_id = t.id left join p on p.a = r.k where t.id = 5",
                "p all; r t_id: 5; t id: 5"
            ),
            (
                "select * from t left join (r join p on p.a = r.k and r.k = 2) on r.t_id = t.id",
                "p a: 2; r k: 2; t all"
            ),
            ("select * from t x join t y on x.a = y.id where x.id = 1", "t all"),
            ("select * from t x join t y on x.id = y.a where x.id = 1", "t a: 1; t id: 1"),
            ("select * from t cross join r where t.id = 1 and r.id = 2", "r id: 2; t id: 1"),
            // Scopes of their own.
            ("select * from t where id = 1 union select * from t where id = 2", "t id: 1; t id: 2"),
            ("select * from t where id = 1 union all select * from t", "t all"),
            ("select * from r where id = 1 and t_id in (select id from t)", "r id: 1; t all"),
            (
                "select (select count(*) from r where r.t_id = 3) from t where id = 1",
                "r t_id: 3; t id: 1"
            ),
            ("with x as (select * from t where id = 1) select * from x", "t id: 1"),
            ("with x as (select * from t) select * from x where id = 1", "t all"),
            ("with t as (select * from t where id = 2) select * from t where id = 1", "t id: 2"),
            ("select * from (select * from t where id = 1) x where x.id = 2", "t id: 1"),
            ("select * from three_v where id = 1", "t a: 3"),
            ("select * from list_v", "t id: 1 2"),
            ("select * from all_v where id = 1", "t all"),
            ("select * from three_v, t where t.id = 1", "t a: 3; t id: 1"),
            ("select * from part where id = 1", "part id: 1"),
            ("select * from part_1 where id = 1", "part id: 1"),
            ("select * from total_m where id = 1", "total_m all"),
            ("select * from public.t where id = 1", "t id: 1"),
        ])
    func keyed(sql: String, expected: String) throws {
        // The families are known by their smallest OID.
        #expect(try reads(sql) == expected, "\(sql)")
    }

    @Test(
        "Anything less leaves all rows",
        arguments: [
            "select * from t", "select * from t where id > 5", "select * from t where id <> 5",
            "select * from t where id = 5 or a = 3", "select * from t where not id = 5",
            "select * from t where id not in (1, 2)", "select * from t where id = a",
            "select * from t where id + 0 = 5", "select * from t where id = 2 + 3",
            "select * from t where id = 5.0", "select * from t where id = 1e1",
            "select * from t where id = ' 5'", "select * from t where id = '5x'",
            "select * from t where id = null", "select * from t where id = 5::numeric",
            "select * from t where id::text = '5'", "select * from t where id = all (array[1])",
            "select * from t where id operator(pg_catalog.=) 5",
            "select * from t where n = 5", "select * from t where c = 'x'",
            "select * from t where g = 5", "select * from t where ci = 'x'",
            "select * from t where s = 'x' collate \"C\"", "select * from t where v = 'é'",
            "select * from t where v = 'ab'::varchar(1)", "select * from t where s = 'x'::bpchar",
            "select * from t where d = '2000-1-1'", "select * from t where d = '2001-02-29'",
            "select * from t where d = '2000-01-01'::timestamptz",
            "select * from t where u = '{01000000-0000-0000-0000-0000000000ff}'",
            "select * from t where f = 'yes'", "select * from t where f",
            "select * from t x where t.id = 5", "select * from t where x.id = 5",
            "select * from t as x(y) where x.id = 5", "select * from t as x(a, id) where id = 5",
            "select count(*) filter (where id = 5) from t",
            "select count(*) from t having count(*) = 5",
            "select * from (t x cross join total_m y) as t where t.id = 5",
            "select * from t tablesample system (10) where id = 5",
            "select * from t where missing = 5", "select * from t where id in (1, a)",
            "select * from t where id = any (array[1, null])",
            "select * from t where id is not distinct from 5",
            "select * from t where (id = 5) is true", "select * from t where (id = 5) = true",
            "select * from t where id in (select 5)",
            "select * from t where id = (select 5)", "select * from t where id between 5 and 5",
        ])
    func unkeyed(sql: String) throws {
        #expect(try reads(sql).contains("t all"), "\(sql)")
    }

    @Test("Merged columns below an outer join are not taken for one of them")
    func mergedColumns() throws {
        #expect(try reads("select * from t left join p using (a) where a = 5") == "p all; t all")
        #expect(try reads("select * from t natural full join p where a = 5") == "p all; t all")
        #expect(
            try reads(
                "select * from p left join (t join r on t.id = r.t_id and t.a = 1) using (a) "
                    + "join p q using (a) where p.b = 2") == "p all; r all; t a: 1")
        #expect(
            try reads("with x as (select 1 as a) select * from x join t using (a) where a = $1")
                == "t all")
    }

    @Test("A subquery's names are not those of the query around it")
    func correlation() throws {
        #expect(
            try reads(
                "select * from t x where id = 1 and exists (select from t y where x.id = 1)")
                == "t all")
        #expect(
            try reads("select * from t where id = 1 and exists (select from r where a = 2)")
                == "r all; t id: 1")
        // `a` in the subquery is r's neighbour's only if r has none.
        #expect(
            try reads("select * from t where exists (select from r where t.a = 2)")
                == "r all; t all")
    }

    @Test(
        "Parameters are read as the type that the server gives them",
        arguments: [
            ("select * from t where id = $1", [], "t id: $1:int4"),
            ("select * from t where b = $1", [0], "t b: $1:int8"),
            ("select * from t where b = $1", [705], "t b: $1:int8"),
            ("select * from t where id = $1", [20], "t id: $1:int8"),
            ("select * from t where id = $1 and a = $1", [], "t all"),
            ("select * from t where id = $1 and a = $1", [21], "t id: $1:int2"),
            ("select $1::text from t where id = $1", [], "t all"),
            ("select * from t where id = $1 limit $2", [], "t id: $1:int4"),
            ("select * from t where id = $1", [25], "t all"),
            ("select * from t where id = $1", [1_700], "t all"),
            ("select * from t where id = $1::int8", [], "t id: $1:int8"),
            ("select * from t where id = $1::int4", [20], "t id: $1:int8"),
            ("select * from t where id = $1::int4", [25], "t all"),
            ("select * from t where id = $1::numeric", [], "t all"),
            ("select * from t where v = $1", [], "t v: $1:text"),
            ("select * from t where v = $1", [1_043], "t v: $1:text"),
            ("select * from t where s = $1::varchar", [], "t s: $1:text"),
            ("select * from t where v = $1", [1_042], "t all"),
            ("select * from t where u = $1", [2_950], "t u: $1:uuid"),
            ("select * from t where d = $1", [1_082], "t d: $1:date"),
            ("select * from t where d = $1", [1_184], "t all"),
            ("select * from t where id in ($1, $2)", [], "t id: $1:int4 $2:int4"),
            ("select * from t where id in ($1, 2)", [], "t id: $1:int4 2"),
            ("select * from t where id in ($1, 3000000000)", [], "t all"),
            ("select * from t where b in ($1, 2)", [], "t all"),
            ("select * from t where b in ($1, $2)", [0, 23], "t all"),
            ("select * from t where b in ($1, $2)", [20, 23], "t b: $1:int8 $2:int4"),
            ("select * from t where id = any ($1)", [], "t id: any $1:int4"),
            ("select * from t where id = any ($1)", [1_016], "t id: any $1:int8"),
            ("select * from t where id = any ($1::int8[])", [], "t id: any $1:int8"),
            ("select * from t where id = any ($1)", [25], "t all"),
            ("select * from t where id = any ($1) or $1 is null", [], "t all"),
            ("select * from t where s = any ($1)", [1_009], "t s: any $1:text"),
            ("select * from p where a = $1 and b = $2", [], "p a,b: $1:int4/$2:int4"),
            (
                "select * from t join r on t.id = r.t_id where t.id = $1", [],
                "r t_id: $1:int4; t id: $1:int4"
            ),
        ] as [(String, [UInt32], String)])
    func parameters(sql: String, types: [UInt32], expected: String) throws {
        #expect(try reads(sql, types) == expected, "\(sql)")
    }

    @Test("Too many tuples are all rows, and a name of two tables has no key")
    func limits() throws {
        let list = (1...64).map(String.init).joined(separator: ", ")
        #expect(try reads("select * from t where id in (\(list))").hasPrefix("t id: 1 2 3"))
        #expect(try reads("select * from t where id in (\(list), 65)") == "t all")
        #expect(try reads("select * from p where a in (\(list)) and b in (1, 2)") != "p all")
        let sources = (0..<70).map { "r r\($0)" }.joined(separator: ", ")
        #expect(try reads("select * from t, \(sources) where t.id = 1") == "r all; t all")
        #expect(
            try reads("select * from p where a = 1", path: "public, other") == "p all; p all")
        #expect(try reads("select * from other.p where a = 1") == "p a: 1")
    }

    @Test("An equality of a user's own on the server's types ends all keys")
    func ownEquality() throws {
        var rows = KeyedSampleCatalog.rows
        rows.functions.append(
            .init(
                oid: 50_009, name: "same", namespace: 2_200, volatility: "i", language: "c",
                argumentTypes: [25, 99_999], resultType: 16))
        rows.operators = [.init(name: "=", function: 50_009, left: 99_999, right: 99_999)]
        let sql = "select * from t where id = 5"
        #expect(
            KeyedSampleCatalog.text(
                try profile(sql, catalog: PostgreSQLCatalog(rows)).dependencies) == "t id: 5")
        rows.operators = [.init(name: "=", function: 50_009, left: 25, right: 99_999)]
        #expect(
            KeyedSampleCatalog.text(
                try profile(sql, catalog: PostgreSQLCatalog(rows)).dependencies) == "t all")
    }
}

@Suite("The rows that a write touches")
struct RowPinTests {
    @Test(
        "Conditions pin the rows as they were, assignments as they become",
        arguments: [
            ("delete from t where id = 5", "r *; t id=5"),
            ("delete from r where id in (5, 6) and k = 1", "r id=5,6 k=1"),
            ("delete from r using t where r.t_id = t.id and t.id = 5", "r t_id=5"),
            ("delete from r where id > 5", "r *"), ("delete from r", "r *"),
            ("delete from r where current of c", "r *"),
            ("update t set s = 'x' where id = 5", "t id=5"),
            ("update t as x set s = 'x' where x.id = 5 and x.s = 'y'", "t id=5 s='x','y'"),
            ("update t set s = 'x'", "t *"),
            ("update t set s = 'x' where id = 5 or a = 3", "t *"),
            ("update t set s = s || 'x' where id = 5 and s = 'a'", "t id=5"),
            ("update t set a = a + 1 where id = 5 and a = 1", "t id=5"),
            ("update t set a = 7 where a in (1, 2)", "t a=1,2,7"),
            ("update t set a = null where a = 1", "t a=1,null"),
            ("update t set a = default where a = 1 and b = 2", "t b=2"),
            ("update t set (a, s) = (1, 'x') where a = 1 and b = 2", "t b=2"),
            ("update t set (a, b) = (select 1, 2) where a = 1 and b = 2 and f = true", "t f=true"),
            ("update p set note = 'x' where a = 1 and b = 2", "p a=1 b=2"),
            ("update p set b = 3 where a = 1 and b = 2", "p a=1 b=2,3"),
            ("update t set s = 'x' from r where r.t_id = t.id and r.t_id = 5", "t id=5"),
            ("update t set s = 'x' from r where t.id = 5 and r.id = 6", "t id=5"),
            (
                "update t set s = 'x' from r left join p on p.a = 5 where p.a = t.id and t.a = 1",
                "t a=1 id=5"
            ),
            ("update t set a = 5.0 where a = 1", "t *"),
            ("update t set v = 'x' where v = 'y'", "t v='x','y'"),
            ("update t set v = 'x ' where v = 'y'", "t *"),
            ("update t set s = 'x ' where s = 'y'", "t s='x ','y'"),
            ("update t set s = 5 where s = 'y'", "t *"),
            // Foreign keys.
            ("update t set id = 6 where id = 5", "r *; t id=5,6"),
            ("update folder set parent = 1 where id = 2", "folder id=2"),
            ("delete from folder where id = 2", "folder *"),
            ("update part set x = 1 where id = 2", "doc *; part id=2"),
            ("update part_1 set x = 1 where id = 2", "doc *; part id=2"),
            ("delete from part where id = 2", "doc *; part id=2"),
            ("update doc set part_id = 1 where id = 2", "doc id=2"),
            ("truncate doc", "doc *"), ("truncate t cascade", "r *; t *"),
            // Inserts.
            ("insert into r values (1, 2, 3)", "r id=1 k=3 t_id=2"),
            ("insert into r values (1, 2), (3, 2)", "r id=1,3 t_id=2"),
            ("insert into r (k, id) values (1, 2)", "r id=2 k=1"),
            ("insert into r (k, id) values (1, default)", "r k=1"),
            ("insert into r (k, id) values (1, 2), (1 + 1, 3)", "r id=2,3"),
            ("insert into r (id) values (null)", "r id=null"),
            ("insert into r default values", "r *"), ("insert into r select * from r", "r *"),
            ("insert into r select 1, 2, 3", "r *"),
            ("insert into r values (1) limit 1", "r *"),
            ("insert into r (id) overriding user value values (1)", "r *"),
            ("insert into part values (1)", "part id=1"),
            ("insert into r (id, k) values (1, 2) on conflict do nothing", "r id=1 k=2"),
            ("insert into r (id, k) values (1, 2) on conflict (id) do nothing", "r id=1 k=2"),
            (
                "insert into r (id, k) values (1, 2) on conflict (id) do update set k = 3",
                "r id=1"
            ),
            (
                "insert into r (id, k) values (1, 2) on conflict (id) do update "
                    + "set k = excluded.k, id = excluded.id", "r id=1"
            ),
            (
                "insert into r (id) values (1) on conflict (id) do update set id = 5",
                "r id=1,5"
            ),
            (
                "insert into r (id) values (1) on conflict (id) do update set id = r.id + 1",
                "r *"
            ),
            (
                "insert into r (id) values (1) on conflict on constraint x do update set k = 1",
                "r *"
            ),
            (
                "insert into r (id) values (1) on conflict ((id + 1)) do update set k = 1", "r *"
            ),
            ("insert into loose values (1, 'a') on conflict do nothing", "loose id=1 s='a'"),
            ("insert into loose values (1, 'a') on conflict (s) do update set id = 2", "loose *"),
            // Several, and what is not followed.
            (
                "with x as (delete from r where id = 1) delete from r where id = 2",
                "r id=1,2"
            ),
            (
                "with x as (delete from r where id = 1) update r set k = 1 where t_id = 2", "r *"
            ),
            (
                "with x as (delete from r where id = 1 returning *) select * from x", "r id=1"
            ),
            (
                "merge into r using t on r.id = 1 when matched then update set k = 1", "r *"
            ),
            ("copy r from stdin", "r *"), ("update stamped set id = 1 where id = 2", "stamped *"),
            ("insert into stamped values (1)", "stamped *"),
            // A view may name the columns otherwise, so keys that reference any of them count.
            ("update all_v set a = 1 where id = 1", "r *; t *"),
            ("delete from r where id = $1 and t_id = $2", "r id=$1:int8 t_id=$2:int4"),
            ("update t set a = $1 where a = $2", "t a=$1:int4,$2:int4"),
            ("update t set v = $1 where v = $2", "t *"),
            ("update t set s = $1 where s = $2", "t s=$1:text,$2:text"),
            ("insert into r values ($1, $2, $2)", "r id=$1:int8"),
            ("delete from r where id = any ($1)", "r id=any $1:int8"),
        ])
    func pins(sql: String, expected: String) throws {
        #expect(try writes(sql) == expected, "\(sql)")
    }

    @Test("A name of two tables pins nothing in either")
    func ambiguous() throws {
        #expect(try writes("delete from p where a = 1", path: "public, other") == "p *; p *")
    }

    @Test("Columns with too many values are not pinned")
    func limits() throws {
        let rows = (1...65).map { "(\($0), 7)" }.joined(separator: ", ")
        #expect(try writes("insert into r (id, t_id) values \(rows)") == "r t_id=7")
    }

    @Test("Function bodies, whose names and parameters are others, pin nothing")
    func withoutResolver() throws {
        let facts = try SyntaxAnalysis.facts(of: "delete from r where id = 1")[0]
        let path = SearchPath("public", sessionUser: "u", currentRole: "u")
        var scan = DependencyScan(catalog: KeyedSampleCatalog.catalog)
        let closure = WriteClosure(catalog: KeyedSampleCatalog.catalog, path: path)
        #expect(
            KeyedSampleCatalog.text(closure.writeSet(of: facts.writes, noting: &scan)) == "r *")
        let query = try SyntaxAnalysis.facts(of: "select * from r where id = 1")[0]
        scan.read(query, path: path)
        #expect(KeyedSampleCatalog.text(scan.dependencies) == "r all")
    }

    @Test("The mutants break what they say")
    func mutants() throws {
        let cascade = try Mutant.$scoped.withValue(.cascadesIgnored) {
            try writes("delete from t where id = 5")
        }
        #expect(cascade == "t id=5")
        let moved = try Mutant.$scoped.withValue(.movedKeyIgnored) {
            try writes("update t set a = 7 where a = 1")
        }
        #expect(moved == "t a=1")
        let partition = try Mutant.$scoped.withValue(.partitionsIgnored) {
            try profile(
                "insert into part_1 values (1)",
                catalog: PostgreSQLCatalog(KeyedSampleCatalog.rows)
            ).writeSet
        }
        #expect(KeyedSampleCatalog.text(partition) == "part_1 id=1")
    }
}
