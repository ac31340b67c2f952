import Telemetry
import Testing

@testable import SQLAnalysis

@Suite("Session state")
struct SessionProfileTests {
    @Test(
        "Transaction control is read exactly",
        arguments: [
            ("begin", TransactionCommand.begin(isolation: nil)),
            ("start transaction read only", .begin(isolation: nil)),
            (
                "begin isolation level serializable, read write",
                .begin(isolation: .serializable)
            ),
            (
                "begin transaction isolation level read committed",
                .begin(isolation: .readCommitted)
            ),
            (
                "start transaction isolation level repeatable read",
                .begin(isolation: .repeatableRead)
            ),
            ("begin isolation level read uncommitted", .begin(isolation: .readUncommitted)),
            ("commit", .commit(chain: false)), ("end", .commit(chain: false)),
            ("commit and chain", .commit(chain: true)), ("rollback", .rollback(chain: false)),
            ("abort", .rollback(chain: false)), ("rollback and chain", .rollback(chain: true)),
            ("savepoint a", .savepoint), ("release a", .releaseSavepoint),
            ("rollback to a", .rollbackToSavepoint),
            ("prepare transaction 'x'", .prepareTransaction),
            ("commit prepared 'x'", .commitPrepared), ("rollback prepared 'x'", .rollbackPrepared),
            (
                "set transaction isolation level serializable",
                .setTransaction(isolation: .serializable)
            ),
            ("set transaction read only", .setTransaction(isolation: nil)),
            ("set transaction snapshot 'x'", .setTransaction(isolation: .repeatableRead)),
        ])
    func transactions(sql: String, command: TransactionCommand) throws {
        #expect(try SampleCatalog.profile(sql).kind == .transaction(command))
    }

    @Test(
        "Changes of settings are read exactly",
        arguments: [
            (
                "set search_path to a, \"B\", \"$user\"",
                SettingChange.set(name: "search_path", value: "a, \"B\", \"$user\"")
            ),
            (
                "set search_path = 'a, b'",
                .set(name: "search_path", value: "\"a, b\"")
            ),
            ("set schema 'x'", .set(name: "search_path", value: "x")),
            ("set DateStyle to iso, dmy", .set(name: "datestyle", value: "iso, dmy")),
            (
                "SET SESSION extra_float_digits = -3",
                .set(name: "extra_float_digits", value: "-3")
            ),
            ("set extra_float_digits = 0", .set(name: "extra_float_digits", value: "0")),
            ("set x = - 15", .set(name: "x", value: "-15")),
            ("set a.b to 0.5", .set(name: "a.b", value: "0.5")),
            ("set time zone 'UTC'", .set(name: "timezone", value: "UTC")),
            ("set time zone local", .reset(name: "timezone")),
            ("set time zone interval '1' hour", .unknown),
            ("set names 'UTF8'", .set(name: "client_encoding", value: "UTF8")),
            ("set role x", .set(name: "role", value: "x")),
            ("set role none", .set(name: "role", value: "none")),
            ("reset role", .reset(name: "role")),
            ("set session authorization x", .set(name: "session_authorization", value: "x")),
            ("set session authorization default", .reset(name: "session_authorization")),
            ("set local work_mem = '1MB'", .setLocal(name: "work_mem", value: "1MB")),
            ("set local App.Tenant to 7", .setLocal(name: "app.tenant", value: "7")),
            ("set local role to default", .setLocal(name: "role")),
            ("set x to default", .reset(name: "x")), ("reset x", .reset(name: "x")),
            ("reset all", .resetAll), ("discard all", .discardAll),
            (
                "set session characteristics as transaction isolation level serializable",
                .set(name: "default_transaction_isolation", value: "serializable")
            ),
            ("set session characteristics as transaction read only", .unknown),
            (
                "select set_config('TimeZone', 'UTC', false)",
                .set(name: "timezone", value: "UTC")
            ),
            (
                "select pg_catalog.set_config('search_path', 'a', true)",
                .setLocal(name: "search_path", value: "a")
            ),
            ("select set_config('app.tenant', $1, true)", .setLocal(name: "app.tenant")),
            ("select set_config('app.tenant', $1::text, true)", .setLocal(name: "app.tenant")),
            ("select set_config('app.tenant', lower('A'), true)", .unknown),
            ("select set_config('app.tenant', null, true)", .unknown),
            ("select set_config('a', $1, false)", .unknown),
            ("select set_config('jit', $1, false)", .set(name: "jit", value: "")),
            (
                "select current_setting('jit') as cur, set_config('jit', 'off', false) as new",
                .set(name: "jit", value: "off")
            ),
            ("select set_config('a', 'b', false), set_config('c', 'd', false)", .unknown),
            ("select set_config('a', 'b', false), 1", .unknown),
            ("select set_config('a', 'b', false) from customer", .unknown),
            ("select set_path()", .unknown),
        ])
    func settings(sql: String, change: SettingChange) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.kind == .setting(change))
        #expect(profile.writeSet == .nothing)
        #expect(profile.taintsSession == (change == .unknown))
        #expect(profile.bypassReason != nil)
    }

    @Test(
        "What neither reads nor changes anything is harmless",
        arguments: [
            "listen x", "notify x", "unlisten *", "show all", "explain select * from customer",
            "close c", "fetch c", "move c", "declare c cursor for select * from customer",
            "vacuum customer", "analyze", "reindex table customer", "checkpoint",
            "cluster customer", "comment on table customer is 'x'", "deallocate all",
            "prepare p as insert into customer values (1)", "explain delete from line",
            "set constraints all immediate", "discard plans", "discard temp",
            "explain execute p",
        ])
    func harmless(sql: String) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.kind == .harmless)
        #expect(profile.writeSet == .nothing)
        #expect(!profile.taintsSession)
        #expect(profile.bypassReason != nil)
    }

    @Test(
        "Locks change no table",
        arguments: [
            "lock customer", "select * from customer for update",
            "select * from customer for key share", "select pg_advisory_lock(1)",
            "select * from (select * from customer for share) x", "select * from locking_v",
            "select pg_advisory_lock(id) from customer",
            "declare c cursor for select * from customer for update",
            "explain analyze select * from customer for update",
        ])
    func locks(sql: String) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.kind == .locking)
        #expect(profile.writeSet == .nothing)
        #expect(profile.bypassReason != nil)
    }

    @Test(
        "Temporary objects taint the session and change nothing permanent",
        arguments: [
            "create temp table x (a int4)", "create table pg_temp.x (a int4)",
            "create temporary table x as select * from customer", "create temp sequence s",
            "select * into temp x from customer",
        ])
    func temporary(sql: String) throws {
        let profile = try SampleCatalog.profile(sql)
        #expect(profile.kind == .write)
        #expect(profile.writeSet == .nothing)
        #expect(profile.taintsSession)
    }

    @Test("Code that may leave state behind taints the session")
    func taints() throws {
        for sql in [
            "select set_path()", "insert into guarded values (set_path())",
            "select dynamic()", "create table x as select set_config('a', 'b', false)",
            "create view pg_temp.v as select 1", "create temp view v as select 1", "call p()",
            "explain analyze select set_config('a', 'b', false)",
        ] {
            #expect(try SampleCatalog.profile(sql).taintsSession, "\(sql)")
        }
        #expect(try !SampleCatalog.profile("create table x (a int4)").taintsSession)
        #expect(try SampleCatalog.profile("create table x (a int4)", path: "pg_temp").taintsSession)
    }

    @Test("Each statement of a text has its own profile")
    func several() throws {
        let all = try SampleCatalog.profiles(
            "begin; insert into line values (1); select * from line; commit")
        #expect(
            all.map(\.kind) == [
                .transaction(.begin(isolation: nil)), .write, .read,
                .transaction(.commit(chain: false)),
            ])
        #expect(try SampleCatalog.profiles(" ; ").isEmpty)
    }

    @Test("Without the catalog nothing is cached and whatever names something may write")
    func withoutCatalog() throws {
        func profile(_ sql: String) throws -> StatementProfile {
            let facts = try SyntaxAnalysis.facts(of: sql)
            return ProfileResolver.profileWithoutCatalog(of: facts, catalogVersion: 0)
                .statements[0]
        }
        #expect(try profile("select * from customer").bypassReason == .catalogNotReady)
        #expect(try profile("select * from customer").writeSet == .everything)
        #expect(try profile("insert into line values (1)").writeSet == .everything)
        #expect(try profile("create table x (a int4)").writeSet == .everythingAndCatalog)
        #expect(try profile("begin").kind == .transaction(.begin(isolation: nil)))
        #expect(try profile("set a = b").kind == .setting(.set(name: "a", value: "b")))
        #expect(try profile("show all").kind == .harmless)
        #expect(try profile("select 1").writeSet == .nothing)
        #expect(try profile("select f()").taintsSession)
    }
}
