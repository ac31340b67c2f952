import ResultCache
import Testing
import Upstream

@testable import Session

@Suite("GreetingTable")
struct GreetingTableTests {
    private let cells = CellTable()

    private func startup(_ parameters: (String, String)...) -> SessionStartup {
        SessionStartup(
            user: "u", database: "db",
            parameters: parameters.map { .init(name: $0.0, value: $0.1) })
    }

    private func greeting(applicationName: String) -> UpstreamGreeting {
        UpstreamGreeting(
            parameterStatuses: [.init(name: "application_name", value: applicationName)],
            backendKey: nil, settings: [:], sessionUser: "u")
    }

    private func name(_ greeting: UpstreamGreeting?) -> String? {
        greeting?.parameterStatuses.first?.value
    }

    @Test("sessions that differ in their application name share a greeting and get their own name")
    func applicationNames() {
        let table = GreetingTable(cells: cells)
        let first = startup(("application_name", "one"))
        table.remember(
            greeting(applicationName: "one"), for: first, lease: table.lease(for: first), now: 0)
        #expect(
            name(table.greeting(for: startup(("application_name", "two")), now: 1)) == "two")
        // Without one, the role's or the server's own default holds: that is another greeting.
        #expect(table.greeting(for: startup(), now: 1) == nil)
        #expect(
            table.greeting(for: startup(("application_name", "snow ☃")), now: 1) == nil)
    }

    @Test("a greeting is forgotten after a minute, and when the schema or the cluster has moved")
    func lifetime() throws {
        for moved in [CellName.schema(database: "db"), .cluster] {
            let table = GreetingTable(cells: cells)
            table.remember(
                greeting(applicationName: ""), for: startup(), lease: table.lease(for: startup()),
                now: 0)
            #expect(table.greeting(for: startup(), now: GreetingTable.lifetime - 1) != nil)
            #expect(table.greeting(for: startup(), now: GreetingTable.lifetime) == nil)
            table.remember(
                greeting(applicationName: ""), for: startup(), lease: table.lease(for: startup()),
                now: 0)
            let window = try #require(WriteWindow.open(CellSet([cells.cell(moved)])))
            #expect(table.greeting(for: startup(), now: 1) == nil)
            window.close(.committed)
        }
    }

    @Test("other parameters keep greetings apart")
    func otherParameters() {
        let table = GreetingTable(cells: cells)
        table.remember(
            greeting(applicationName: ""), for: startup(), lease: table.lease(for: startup()),
            now: 0)
        #expect(table.greeting(for: startup(("options", "-c search_path=x")), now: 1) == nil)
    }
}
