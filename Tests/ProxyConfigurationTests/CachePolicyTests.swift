import SQLAnalysis
import Testing

@testable import ProxyConfiguration

@Suite("Cache policy")
struct CachePolicyTests {
    private func relation(_ name: String, schema: String = "public") -> Relation {
        Relation(identifier: RelationIdentifier(name), name: name, schema: schema)
    }

    private func policy(_ rules: String, ttl: String = "5m") throws -> CachePolicy {
        try ProxyConfiguration.parse(
            "upstream.url = \"sqlite:x.db\"\ncache.ttl = \"\(ttl)\"\n" + rules, source: "test",
            directory: "/"
        ).policy
    }

    @Test("Without a matching rule the defaults hold")
    func defaults() throws {
        let none = try policy("")
        #expect(
            none.decision(readSet: [relation("flights")], query: "select 1")
                == .init(cache: true, ttl: .seconds(300)))
        let unlimited = try policy("", ttl: "0")
        #expect(
            unlimited.decision(readSet: [], query: "select 1") == .init(cache: true, ttl: nil))
    }

    @Test("A rule with tables matches a statement that reads one of them, with or without schema")
    func tables() throws {
        let policy = try policy(
            """
            [[rule]]
            tables = ["airports", "audit.Log"]
            ttl = "1h"
            """)
        let hour = CachePolicy.Decision(cache: true, ttl: .seconds(3600))
        let standard = CachePolicy.Decision(cache: true, ttl: .seconds(300))
        #expect(
            policy.decision(readSet: [relation("flights"), relation("airports")], query: "") == hour
        )
        #expect(policy.decision(readSet: [relation("Airports", schema: "")], query: "") == hour)
        #expect(policy.decision(readSet: [relation("log", schema: "audit")], query: "") == hour)
        #expect(policy.decision(readSet: [relation("log")], query: "") == standard)
        #expect(policy.decision(readSet: [relation("air")], query: "airports") == standard)
        #expect(policy.decision(readSet: [], query: "select 'airports'") == standard)
    }

    @Test("The first rule that matches wins")
    func firstMatch() throws {
        let policy = try policy(
            """
            [[rule]]
            tables = ["weather"]
            cache = false
            [[rule]]
            query = "temp"
            ttl = "0"
            [[rule]]
            tables = ["flights"]
            ttl = "1s"
            """)
        let weather = [relation("weather"), relation("flights")]
        #expect(policy.decision(readSet: weather, query: "temp").cache == false)
        let flights = [relation("flights")]
        #expect(
            policy.decision(readSet: flights, query: "select temp") == .init(cache: true, ttl: nil))
        #expect(
            policy.decision(readSet: flights, query: "select 1")
                == .init(cache: true, ttl: .seconds(1)))
    }

    @Test("A rule with tables and query needs both to match")
    func both() throws {
        let policy = try policy(
            """
            [[rule]]
            tables = ["flights"]
            query = "(?i)\\\\bgroup by\\\\b"
            cache = false
            """)
        let flights = [relation("flights")]
        #expect(
            policy.decision(readSet: flights, query: "SELECT … GROUP BY carrier").cache == false)
        #expect(policy.decision(readSet: flights, query: "SELECT … ORDER BY carrier").cache)
        #expect(policy.decision(readSet: [relation("planes")], query: "… group by year").cache)
    }

    @Test("A rule that says nothing about the lifetime leaves the default")
    func defaultLifetime() throws {
        let policy = try policy(
            """
            [[rule]]
            query = "^select"
            cache = true
            [[rule]]
            query = ""
            cache = false
            """)
        #expect(
            policy.decision(readSet: [], query: "select 1")
                == .init(cache: true, ttl: .seconds(300)))
        #expect(policy.decision(readSet: [], query: "\nselect 1").cache == false)
    }

    @Test("The rule that decides is named by its number and its own words")
    func matchingRule() throws {
        let policy = try policy(
            """
            [[rule]]
            tables = ["planes"]
            cache = false
            [[rule]]
            tables = ["flights"]
            ttl = "30s"
            """)
        #expect(
            policy.matchingRule(readSet: [relation("flights")], query: "select 1")
                == "number 2: tables = [\"flights\"], cache = true, ttl = \"30s\"")
        #expect(policy.matchingRule(readSet: [relation("airports")], query: "select 1") == nil)
    }
}
