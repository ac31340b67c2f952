import Logging
import NIOCore
import NIOEmbedded
import PostgresWire
import ResultCache
import Telemetry

@testable import Session

/// One seed, one thread, one run: real sessions with the real cache, and in half of the worlds the
/// real connection pools, between simulated clients and a model database. Nothing happens but in steps, and chance alone says which comes next.
final class Simulation {
    static let databaseName = "model"
    static let memory = 1 << 20
    /// Holds some dozen entries.
    static let squeezedMemory = 1 << 14

    let seed: UInt64
    let chance: Chance
    let features: Features
    let texts = StatementTexts.shared
    let loop = EmbeddedEventLoop()
    let database = ModelDatabase()
    let services: SessionServices
    let registry = ConnectionRegistry(limit: 1_000)
    let upstream: ModelUpstream
    private(set) var clients: [SimulatedClient] = []
    private var clientsMade = 0
    var counters = SimulationCounters()
    /// In which version a read, named with its parameters, was last executed.
    var lastExecution: [String: Int] = [:]
    private var isWindingDown = false
    /// Found in the middle of a step.
    var violation: Violation?

    /// The last things that happened, if they are wanted.
    private(set) var traced: [String] = []
    private let isTracing: Bool

    init(seed: UInt64, isTracing: Bool = false) throws {
        self.seed = seed
        self.isTracing = isTracing
        chance = Chance(seed: seed)
        features = Features(chance)
        let cells = CellTable()
        upstream = ModelUpstream(
            analyzer: ModelAnalyzer(cells: cells, database: Self.databaseName))
        let metrics = ProxyMetrics(version: "simulation")
        if let pool = features.pool {
            upstream.makePools(pool, cells: cells, metrics: metrics)
        }
        services = SessionServices(
            upstream: upstream,
            cache: ReplyCache(
                limits: CacheLimits(memory: Self.memory, maximumEntry: 1 << 12), shardCount: 1),
            cells: cells,
            options: SessionOptions(
                isCacheEnabled: true, maximumEntry: 1 << 12, maximumMessage: 1 << 20,
                startupTimeout: .hours(1)
            ) { _, _ in .store(timeToLive: nil) },
            metrics: metrics, logger: Self.silentLogger)
        upstream.attach(to: self)
        for _ in 0..<features.clients { clients.append(try newClient()) }
    }

    private static let silentLogger: Logger = {
        Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    }()

    func trace(_ text: @autoclosure () -> String) {
        guard isTracing else { return }
        traced.append("\(counters.steps) v\(database.version) \(text())")
        if traced.count > 4_000 { traced.removeFirst(2_000) }
    }

    // MARK: Running

    /// Runs `steps` steps, and then until all that was begun has ended. Throws the first violation.
    func run(steps: Int) throws {
        defer {
            collectCounters()
            stopPools()
        }
        while counters.steps < steps { try step() }
        try windDown()
    }

    private func step() throws {
        counters.steps += 1
        let rare = chance.below(10_000)
        let isDone = try rare < 300 && rareStep(rare)
        if !isDone {
            var remaining = clients.count
            var index = chance.below(clients.count)
            while remaining > 0, !(try step(of: clients[index])) {
                index = (index + 1) % clients.count
                remaining -= 1
            }
            // Nothing else moves: the catalog's turn, or an orphan's.
            if remaining == 0 { try backgroundStep() }
        }
        try settle()
        if counters.steps % 512 == 0 { try tidy() }
    }

    /// Lets the event loop run, takes what clients were sent, and replaces those that have gone.
    private func settle() throws {
        loop.run()
        for index in clients.indices {
            try clients[index].drain()
            if clients[index].isClosed, !isWindingDown { clients[index] = try newClient() }
        }
        if let violation { throw violation }
    }

    private func newClient() throws -> SimulatedClient {
        clientsMade += 1
        return try SimulatedClient(name: String(clientsMade), simulation: self)
    }

    func client(named name: String?) -> SimulatedClient? {
        clients.first { $0.name == name }
    }

    // MARK: One client's part

    /// One thing that has to do with one client; false where there is nothing.
    private func step(of client: SimulatedClient) throws -> Bool {
        let backend = backend(for: client)
        let first = chance.below(5)
        for offset in 0..<5 {
            switch (first + offset) % 5 {
            case 0 where isActing(client):
                client.act()
                return true
            case 1 where client.outbox.readableBytes > 0:
                try client.deliver(fragment(of: client.outbox.readableBytes))
                return true
            case 2:
                if let backend, try step(backend) { return true }
            case 3:
                if let link = backend?.link, link.canDeliver {
                    link.deliver(fragment(of: link.backend.leaving.readableBytes))
                    return true
                }
            case 4:
                if let link = backend?.link, !link.isReady {
                    link.becomeReady()
                    return true
                }
                if upstream.model.hasWork {
                    upstream.model.step(chance)
                    return true
                }
            default: break
            }
        }
        return false
    }

    private func isActing(_ client: SimulatedClient) -> Bool {
        !isWindingDown && client.canAct
            && (!client.requests.isEmpty || chance.permille(features.eagerness))
    }

    private func fragment(of count: Int) -> Int {
        chance.permille(150) ? 1 + chance.below(count) : count
    }

    private func step(_ backend: ModelBackend) throws -> Bool {
        guard let link = backend.link, link.isReady, backend.stalledUntil <= counters.steps else {
            return false
        }
        if link.hasCancels, chance.permille(300) || !backend.hasWork {
            link.deliverCancel()
            return true
        }
        if backend.arriving.readableBytes > 0, chance.permille(600) || !backend.hasWork {
            try backend.receive()
            return true
        }
        guard backend.hasWork else { return false }
        backend.step()
        if backend.hasEnded { lose(backend) }
        return true
    }

    private func backgroundStep() throws {
        if upstream.model.hasWork { upstream.model.step(chance) }
        if !(try stepOrphan()) { _ = upstream.tellOfEnd() }
    }

    // MARK: The database

    /// A backend's transaction takes effect.
    func makeVisible(
        _ effects: [Effect], backend: ModelBackend
    ) throws(ConstraintViolation) {
        let wasAudited = database.current.isItemAudited
        try database.commit(effects) { changed in
            do {
                try checkWindow(changed)
            } catch {
                violation = violation ?? error as? Violation
            }
        }
        counters.visibleTransactions += 1
        if wasAudited != database.current.isItemAudited { counters.catalogChanges += 1 }
        trace("client \(backend.client?.name ?? "")'s transaction becomes visible: \(effects)")
    }

    private func tidy() throws {
        try checkMemory()
        upstream.forgetEnded()
        let oldest = clients.flatMap(\.requests).flatMap(\.replies).compactMap(\.arrival).min()
        database.forget(before: oldest ?? database.version)
    }

    // MARK: The end

    /// Nothing new is begun; everything under way must end.
    private func windDown() throws {
        isWindingDown = true
        var patience = 20_000
        while patience > 0, clients.contains(where: { !$0.isClosed && !$0.requests.isEmpty }) {
            patience -= 1
            for link in upstream.links { link.backend.stalledUntil = 0 }
            for client in clients where !client.isClosed {
                client.plan = []
                // It may have a connection that others wait for.
                if features.pool != nil, client.requests.isEmpty {
                    client.disconnect()
                    continue
                }
                _ = try step(of: client)
            }
            try backgroundStep()
            loop.advanceTime(by: .milliseconds(10))
            try settle()
        }
        guard patience > 0 else {
            throw Violation(.liveness, "requests were not answered")
        }
        for client in clients where !client.isClosed { client.disconnect() }
        try settle()
        try emptyPools()
        while try stepOrphan() {}
        while upstream.tellOfEnd() {}
        if let violation { throw violation }
        try checkNoWriters()
        try checkMemory()
    }

    private func collectCounters() {
        counters.rejectedFills = Int(services.cache.statistics.invalidatedFills)
        counters.overlappedFills = Int(services.metrics.bypassCount(.writerInFlight))
        counters.evictions = Int(services.cache.statistics.evictions)
        counters.sharedFlights = Int(services.metrics.flightsShared.value)
        counters.waits = Int(services.metrics.poolWaits.value)
        counters.timeouts = Int(services.metrics.poolTimeouts.value)
    }

    /// The statements of a simple Query; nil where one of them is not known.
    func statements(in text: String) -> [ModelStatement]? {
        if let one = texts.byText[text] { return [one] }
        if ModelReplay.isReplay(text) {
            let statements = ModelReplay.statements(in: text)
            if statements == nil {
                violation = Violation(.pool, "the model does not understand \(text)")
            }
            return statements
        }
        let parts = text.split(separator: ";").map { part in
            texts.byText[String(part.drop { $0 == " " })]
        }
        guard !parts.contains(where: { $0 == nil }) else { return nil }
        return parts.compactMap { $0 }
    }
}
