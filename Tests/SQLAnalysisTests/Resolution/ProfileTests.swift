import Telemetry
import Testing

@testable import SQLAnalysis

private func families(_ oids: UInt32...) -> WriteSet {
    .relations(Set(oids.map { RelationIdentifier(String($0)) }))
}

@Suite("Reads")
struct ReadProfileTests {
    @Test(
        "A read that may be cached depends on exactly its tables",
        arguments: [
            ("select * from customer", [40_001]),
            ("table customer", [40_001]),
            ("select name from public.customer c where c.id = $1", [40_001]),
            ("select count(*), max(id) from customer group by name order by 1 limit 5", [40_001]),
            ("select * from customer c join orders o on o.id = c.id", [40_001, 40_002]),
            ("select * from customer where id in (select id from line)", [40_001, 40_003]),
            ("select (select max(id) from orders) from customer", [40_001, 40_002]),
            ("with x as (select * from customer) select * from x", [40_001]),
            (
                "with recursive r(n) as (select 1 union all select n + 1 from r, line) "
                    + "select * from r", [40_003]
            ),
            ("with customer as (select * from customer) select * from customer", [40_001]),
            (
                "select * from line where exists (with line as (select 1) select * from line)",
                [40_003]
            ),
            ("with a as (select 1), b as (select * from a, orders) select * from b", [40_002]),
            ("select * from customer union select id, name, null from audit", [40_001, 40_004]),
            ("select * from customer_v", [40_001]),
            ("select * from nested_v", [40_001, 40_003]),
            ("select * from total_m", [41_006]),
            ("select * from event", [40_021]),
            ("select * from only event_2", [40_021]),
            ("select * from \"Mixed\"", [40_006]),
            ("select id::numeric, name::text, feeling::mood from customer", [40_001]),
            ("select to_char(placed, 'YYYY'), date_trunc('day', placed) from orders", [40_002]),
            ("select placed::date, date(placed) as placed from orders", [40_002]),
            ("select age(placed, placed) from orders", [40_002]),
            ("select * from orders where placed > '2024-01-01'::timestamptz", [40_002]),
            ("select * from customer where name = 'Snow'", [40_001]),
            ("select id, tableoid from customer", [40_001]),
            ("select pg_catalog.lower(name) from customer", [40_001]),
            ("select format('%s', name, id, 'x') from customer", [40_001]),
            ("select * from customer, lateral generate_series(1, id) g", [40_001]),
            ("select case when id between 1 and 2 then row(1, 2) end from customer", [40_001]),
            (
                "select array[id], name collate \"C\" from customer window w as (order by id)",
                [40_001]
            ),
            (
                "select count(*) filter (where id > 1) over (partition by name) from customer",
                [40_001]
            ),
        ])
    func cacheable(sql: String, oids: [UInt32]) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.bypassReason == nil)
        #expect(profile.kind == .read)
        #expect(profile.writeSet == .nothing)
        #expect(!profile.taintsSession && !profile.mayEndTransaction)
        #expect(Set(profile.readSet.map(\.identifier.rawValue)) == Set(oids.map(String.init)))
    }

    @Test(
        "A read that may not be cached says why, and writes nothing",
        arguments: [
            ("select 1", BypassReason.noRelation),
            ("values (1), (2)", .noRelation),
            ("select lower('X')", .noRelation),
            ("select * from generate_series(1, 2)", .noRelation),
            ("select * from missing", .unknownRelation),
            ("select * from other.line", .unknownRelation),
            ("select * from MIXED", .unknownRelation),
            ("with x as (select 1) select * from x, (select * from missing) y", .unknownRelation),
            (
                "with a as (select * from b), b as (select 1) select * from a, customer",
                .unknownRelation
            ),
            ("select * from pg_class", .systemCatalog),
            ("select * from information_schema.tables", .systemCatalog),
            ("select * from pg_temp.x", .temporaryTable),
            ("select * from pg_temp_3.x", .temporaryTable),
            ("select * from remote", .foreignTable),
            ("select * from mixed_family", .foreignTable),
            ("select last_value from seq", .sequence),
            ("select random() from customer", .volatileFunction),
            ("select * from random_v", .volatileFunction),
            ("select nextval('seq') from customer", .volatileFunction),
            ("select * from customer order by random()", .volatileFunction),
            ("select * from customer limit (random() * 3)::int4", .volatileFunction),
            ("select now() from customer", .currentTimeOrUser),
            ("select age(placed) from orders", .currentTimeOrUser),
            ("select current_date from customer", .currentTimeOrUser),
            ("select current_catalog from customer", .currentTimeOrUser),
            ("select current_schema from customer", .currentTimeOrUser),
            ("select current_setting('x') from customer", .stableFunction),
            ("select has_table_privilege('a', 'b') from customer", .stableFunction),
            ("select reader() from customer", .userDefinedFunction),
            ("select pure() from customer", .userDefinedFunction),
            ("select * from customer where name ~=~ 'x'", .userDefinedOperator),
            ("select * from customer where name operator(public.~=~) 'x'", .userDefinedOperator),
            ("select id::odd from customer", .userDefinedType),
            ("select 'customer'::regclass from customer", .userDefinedType),
            ("select regclass('customer') from customer", .userDefinedType),
            ("select placed::day from orders", .userDefinedType),
            ("select id::nothing from customer", .userDefinedType),
            ("select * from strange", .userDefinedType),
            ("select * from orders where placed > 'today'", .relativeTimeLiteral),
            ("select * from orders where placed > ' NOW '", .relativeTimeLiteral),
            ("select 'Tomorrow'::date from customer", .relativeTimeLiteral),
            ("select '{yesterday}'::date[] from customer", .relativeTimeLiteral),
            ("select date 'today' from customer", .relativeTimeLiteral),
            ("select date_trunc('day', 'now') from customer", .relativeTimeLiteral),
            ("select name::date from customer", .stableFunction),
            ("select date(name) from customer", .stableFunction),
            ("select ('to' || 'day')::date from customer", .stableFunction),
            ("select coalesce(name, 'x')::date from customer", .stableFunction),
            ("select placed::date from (select note as placed from orders) x", .stableFunction),
            ("select placed::date from (select note from orders) x(placed)", .stableFunction),
            (
                "with placed as (select note as placed from orders) select placed::date "
                    + "from placed", .stableFunction
            ),
            ("select * from customer, jsonb_each('[]') as x(d date)", .stableFunction),
            ("select starts at time zone 'UTC' from shift", .currentTimeOrUser),
            ("select make_time(1, 2, 3) at time zone 'UTC' from customer", .currentTimeOrUser),
            ("select * from zoned", .currentTimeOrUser),
            ("select '10:00'::timetz from customer", .currentTimeOrUser),
            ("select * from customer tablesample bernoulli (1)", .tableSample),
            ("select ctid from customer", .systemColumn),
            ("select c.xmin from customer c", .systemColumn),
            ("select xmlelement(name a) from customer", .unsupportedSyntax),
            ("copy customer to stdout", .notARead),
            ("copy (select * from customer) to stdout", .notARead),
            ("explain analyze select * from customer", .notARead),
        ])
    func bypassed(sql: String, reason: BypassReason) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.bypassReason == reason)
        #expect(profile.kind == .read)
        #expect(profile.writeSet == .nothing)
        #expect(!profile.taintsSession)
    }

    @Test("All schemas of the path are candidates")
    func searchPath() throws {
        let query = "select * from customer"
        func oids(_ path: String, role: String = "app") throws -> Set<String> {
            let profile = try SampleCatalog.profile(query, path: path, role: role)
            return Set(profile.readSet.map(\.identifier.rawValue))
        }
        func reason(_ path: String, _ sql: String = query) throws -> BypassReason? {
            try SampleCatalog.profile(sql, path: path).bypassReason
        }
        #expect(try oids("other") == ["40005"])
        #expect(try oids("other, public") == ["40001", "40005"])
        #expect(try oids("\"$user\", public", role: "other") == ["40001", "40005"])
        #expect(try oids("OTHER") == ["40005"])
        #expect(try reason("\"OTHER\"") == .unknownRelation)
        #expect(try reason("") == .unknownRelation)
        #expect(try reason("pg_temp, public") == .temporaryTable)
        let lower = "select lower(name) from public.customer"
        #expect(try reason("public, other", lower) == .userDefinedFunction)
        let qualified = "select pg_catalog.lower(name) from public.customer"
        #expect(try reason("other", qualified) == nil)
    }

    @Test("Parameters are inspected where a date or time is in play")
    func timeTypedParameters() throws {
        func inspects(_ sql: String, _ types: [UInt32] = []) throws -> Bool {
            try SampleCatalog.profile(sql, parameterTypes: types).hasTimeTypedParameters
        }
        #expect(try !inspects("select * from customer where id = $1"))
        #expect(try !inspects("select * from customer where id = $1", [23]))
        #expect(try !inspects("select * from customer where id = $1", [0, 25]))
        #expect(try inspects("select * from customer where id = $1", [1_082]))
        #expect(try inspects("select * from customer where id = $1", [99_999]))
        #expect(try inspects("select * from orders where placed = $1"))
        #expect(try inspects("select * from customer where $1::date is null"))
        #expect(try inspects("select to_char($1, 'x') from customer"))
        #expect(try inspects("select * from customer where $1::date[] is null"))
    }
}

@Suite("Writes")
struct WriteProfileTests {
    @Test(
        "A write changes its target's family and all that foreign keys pass on",
        arguments: [
            ("insert into customer values (1)", families(40_001)),
            ("insert into other.customer values (1)", families(40_005)),
            ("update line set id = 2", families(40_003)),
            ("insert into line values (1)", families(40_003)),
            ("delete from orders", families(40_002, 40_003)),
            ("update orders set id = 1", families(40_002, 40_003)),
            ("update orders set note = 'x'", families(40_002)),
            ("update customer set name = 'x'", families(40_001)),
            ("update customer set id = 1", families(40_001, 40_002, 40_003, 40_021)),
            ("delete from customer", families(40_001, 40_002, 40_003, 40_021)),
            ("insert into customer values (1) on conflict do nothing", families(40_001)),
            (
                "insert into customer values (1) on conflict (id) do update set id = 2",
                families(40_001, 40_002, 40_003, 40_021)
            ),
            (
                "merge into orders o using line l on o.id = l.id when matched then delete",
                families(40_002, 40_003)
            ),
            ("with d as (delete from line returning *) select * from d", families(40_003)),
            (
                "with a as (update line set id = 1 returning id) insert into customer "
                    + "select id from a", families(40_001, 40_003)
            ),
            ("explain analyze delete from line", families(40_003)),
            ("explain (analyze, costs off) update line set id = 1", families(40_003)),
            ("copy line from stdin", families(40_003)),
            ("copy (delete from line returning *) to stdout", families(40_003)),
            ("truncate line", families(40_003)),
            ("truncate stamped, line", families(40_003, 40_014)),
            ("insert into event_2 values (1)", families(40_021)),
            ("update event set id = 1", families(40_021)),
            ("refresh materialized view total_m", families(41_006)),
            ("refresh materialized view concurrently total_m", families(41_006)),
            ("insert into customer_v values (1)", families(40_001)),
            ("update nested_v set id = 1", families(40_001, 40_002, 40_003, 40_021)),
            ("insert into stamped values (1)", families(40_014)),
            ("insert into line select id from random_v", families(40_003)),
        ])
    func sets(sql: String, writes: WriteSet) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.kind == .write)
        #expect(profile.writeSet.ofAnyRows == writes)
        #expect(profile.bypassReason == .notARead)
        #expect(!profile.taintsSession && !profile.mayEndTransaction)
    }

    @Test(
        "What cannot be seen through writes everything, and the catalog",
        arguments: [
            "insert into ruled values (1)", "delete from line where id = dynamic()",
            "select compiled()",
            "select via_python()", "select dynamic()", "select query_to_xml('x')",
            "select unknown_function()", "select other.unknown()", "select pg_temp.f()",
            "select * from broken_v", "refresh materialized view missing",
            "update pg_class set relname = 'x'",
            "execute p", "call p()", "do $$ begin commit; end $$", "load 'x'",
            "create table x (a int4)", "create table x as select * from customer",
            "select * into x from customer", "drop table customer",
            "alter table customer add a int4",
            "create index on customer (id)", "grant select on customer to app",
            "revoke select on customer from app", "alter role app bypassrls",
            "alter table customer set schema other", "alter database shop set timezone = 'UTC'",
            "alter system set work_mem = '1MB'",
            "create function f() returns int language sql "
                + "as 'select 1'", "create policy p on customer", "create temp view v as select 1",
            "create temp table x () inherits (customer)", "drop schema other cascade",
            "alter table event attach partition line default", "create extension x",
            "create trigger t after insert on line execute function log_change()",
            "commit prepared 'x'", "explain analyze select dynamic()",
            "declare c cursor for select dynamic()", "security label on table customer is 'x'",
        ])
    func everything(sql: String) throws {
        let profile = try SampleCatalog.profile(sql)
        let isUnknownTarget = sql.contains("missing")
        #expect(profile.writeSet == (isUnknownTarget ? .everything : .everythingAndCatalog))
        #expect(profile.bypassReason != nil)
        #expect(profile.kind != .read && profile.kind != .harmless)
    }

    @Test(
        "Code that is seen through writes what it names, wherever it is called from",
        arguments: [
            ("insert into audit values (1)", families(40_004)),  // a trigger that writes
            ("delete from audit", families(40_004)),
            (
                "truncate customer cascade",
                families(40_001, 40_002, 40_003, 40_004, 40_021)
            ),
            ("insert into guarded values (1)", families(40_015, 40_003)),  // so does a default
            ("insert into line values (writer())", families(40_003)),
            ("select writer()", families(40_003)), ("select sneaky()", families(40_003)),
            ("select * from customer where id = writer()", families(40_003)),
            ("select * from writing_v", families(40_003)),
            ("select through_view()", families(40_003)),
            ("select * from customer where id ### 1", families(40_003)),
            ("select c.doubled from customer c", families(40_003)),
            ("select (c).doubled from customer c", families(40_003)),
            ("select * from mine_v", families(40_003)),
            ("select * from pg_temp.mine_v", families(40_003)),
            ("explain analyze select writer()", families(40_003)),
            ("declare c cursor for select writer()", families(40_003)),
            ("insert into writing_v values (1)", families(40_003)),
        ])
    func throughCode(sql: String, writes: WriteSet) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.kind == .write)
        #expect(profile.writeSet.ofAnyRows == writes)
        #expect(profile.bypassReason != nil)
    }

    @Test("A write to something that is not in the catalog may be to anything")
    func unknownTarget() throws {
        for sql in [
            "insert into missing values (1)", "update pg_temp.x set a = 1",
            "truncate missing", "copy missing from stdin", "delete from remote",
        ] {
            #expect(try SampleCatalog.profile(sql).writeSet == .everything)
        }
        #expect(
            try SampleCatalog.profile("insert into customer values (1)", path: "pg_temp, public")
                .writeSet
                == .everything)
        #expect(
            try SampleCatalog.profile("delete from customer", path: "public, other").writeSet
                == families(40_001, 40_002, 40_003, 40_021, 40_005))
    }

    @Test("Only CALL, DO, LOAD and unparsed text may end the transaction")
    func mayEndTransaction() throws {
        for sql in ["call p()", "do $$ begin commit; end $$"] {
            #expect(try SampleCatalog.profile(sql).mayEndTransaction)
            #expect(try SampleCatalog.profile(sql).kind == .opaque)
        }
        for sql in ["execute p", "select writer()", "create table x (a int4)"] {
            #expect(try !SampleCatalog.profile(sql).mayEndTransaction)
        }
        #expect(StatementProfile.opaque(.unparsed).mayEndTransaction)
    }
}

extension WriteSet {
    /// The same relations, whatever is known of the rows.
    var ofAnyRows: WriteSet {
        guard case .relations(let pins) = self else { return self }
        return .relations(Set(pins.keys))
    }
}
