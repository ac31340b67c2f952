import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry

@testable import Upstream

/// The model database as the proxy sees it. Unchecked: one thread.
final class ModelUpstream: Upstream, @unchecked Sendable {
    private weak var simulation: Simulation?
    let model: ModelAnalyzer
    private(set) var backends: [ModelBackend] = []
    private(set) var links: [ModelLink] = []
    /// The real ones, on model links.
    private(set) var pools: LinkPools?
    /// Who waits for the end of a backend.
    private(set) var waiting: [(processID: Int32, then: @Sendable () -> Void)] = []
    private var lastProcessID: Int32 = 0

    init(analyzer: ModelAnalyzer) {
        model = analyzer
    }

    /// As a PostgreSQL upstream does.
    func makePools(_ settings: PoolSettings, cells: CellTable, metrics: ProxyMetrics) {
        pools = LinkPools(
            settings: settings, user: nil, database: nil, metrics: metrics,
            generation: {
                cells.cell(.catalog(database: $0)).current &+ cells.cell(.cluster).current
            },
            now: { [unowned self] in simulation?.poolTime ?? 0 }
        ) { [unowned self] startup, eventLoop, delegate in
            makeLink(startup: startup, eventLoop: eventLoop, delegate: delegate)
        }
    }

    func attach(to simulation: Simulation) {
        self.simulation = simulation
        model.readsItemAudited = { [database = simulation.database] in
            database.current.isItemAudited
        }
    }

    var analyzer: any StatementAnalyzer { model }
    var settingsProbe: String? { StatementTexts.probe.text }

    func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate
    ) -> any UpstreamLink {
        guard let simulation else { preconditionFailure("nothing runs without a simulation") }
        lastProcessID += 1
        let name = startup.parameters.first { $0.name == "application_name" }?.value
        let client = simulation.client(named: name)
        let backend = ModelBackend(
            processID: lastProcessID, simulation: simulation, client: client)
        client?.attached(backend)
        let link = ModelLink(backend: backend, delegate: delegate, simulation: simulation)
        backend.link = link
        backends.append(backend)
        links.append(link)
        return link
    }

    func checkReachable() async throws {}
    func waitUntilEnded(_ key: BackendKey?, database: String) async throws {}
    func shutDown() async {}

    func whenEnded(
        _ key: BackendKey?, database: String, _ then: @escaping @Sendable () -> Void
    ) {
        simulation?.counters.unknownOutcomes += 1
        guard let key else {
            then()
            return
        }
        simulation?.trace("the end of backend \(key.processID) is waited for")
        waiting.append((key.processID, then))
    }

    /// Tells one of those who wait for backends that have ended; false where there is none.
    func tellOfEnd() -> Bool {
        for (index, entry) in waiting.enumerated() {
            let backend = backends.first { $0.processID == entry.processID }
            if let backend, !backend.hasEnded { continue }
            waiting.remove(at: index)
            simulation?.trace("the end of backend \(entry.processID) is told")
            if backend?.committedAlone ?? false {
                simulation?.counters.settledCommitted += 1
            } else {
                simulation?.counters.settledAborted += 1
            }
            entry.then()
            return true
        }
        return false
    }

    /// One of the connections that are open, whoever has it.
    func someLink(_ chance: Chance) -> ModelLink? {
        links.removeAll(where: \.isClosed)
        return links.isEmpty ? nil : chance.pick(links)
    }

    /// Forgets the backends that have ended and that nobody asks for.
    func forgetEnded() {
        backends.removeAll { backend in
            backend.hasEnded && !waiting.contains { $0.processID == backend.processID }
        }
        links.removeAll(where: \.isClosed)
    }
}
