import NIOCore
import PostgresWire
import SQLAnalysis
import Upstream

/// The model database as the proxy sees it. Unchecked: one thread.
final class ModelUpstream: Upstream, @unchecked Sendable {
    private weak var simulation: Simulation?
    let model: ModelAnalyzer
    private(set) var backends: [ModelBackend] = []
    private(set) var links: [ModelLink] = []
    /// Who waits for the end of a backend.
    private(set) var waiting: [(processID: Int32, then: @Sendable () -> Void)] = []
    private var lastProcessID: Int32 = 0

    init(analyzer: ModelAnalyzer) {
        model = analyzer
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
        let link = ModelLink(backend: backend, delegate: delegate)
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

    /// Forgets the backends that have ended and that nobody asks for.
    func forgetEnded() {
        backends.removeAll { backend in
            backend.hasEnded && !waiting.contains { $0.processID == backend.processID }
        }
        links.removeAll(where: \.isClosed)
    }
}

/// The connection to one backend.
final class ModelLink: UpstreamLink {
    let backend: ModelBackend
    private(set) var delegate: (any UpstreamLinkDelegate)?
    private(set) var isReady = false
    private(set) var isClosed = false
    private(set) var isPaused = false

    init(backend: ModelBackend, delegate: any UpstreamLinkDelegate) {
        self.backend = backend
        self.delegate = delegate
    }

    // MARK: The proxy's side

    func send(_ messages: ByteBuffer) {
        backend.arriving.writeImmutableBuffer(messages)
    }

    func setPaused(_ paused: Bool) { isPaused = paused }

    func cancelRunningStatement() {
        if backend.hasWork { backend.isCancelled = true }
    }

    func close() {
        end()
    }

    // MARK: The database's side

    func becomeReady() {
        isReady = true
        delegate?.upstreamReady(
            UpstreamGreeting(
                parameterStatuses: [
                    .init(name: "client_encoding", value: "UTF8"),
                    .init(name: "server_encoding", value: "UTF8"),
                    .init(name: "application_name", value: backend.client?.name ?? ""),
                    .init(name: "TimeZone", value: ModelSettings.zones[0]),
                ],
                backendKey: BackendKey(processID: backend.processID, secret: 1),
                settings: ModelSettings().printed, sessionUser: "app"))
    }

    var canDeliver: Bool { isReady && !isPaused && backend.leaving.readableBytes > 0 }

    func deliver(_ count: Int) {
        guard let bytes = backend.leaving.readSlice(length: count) else { return }
        if backend.leaving.readableBytes == 0 { backend.leaving.clear() }
        delegate?.upstreamReceived(bytes)
    }

    /// The connection breaks; what was on its way from the server does not arrive.
    func lose(_ error: PostgresError, mayStillRun: Bool) {
        let delegate = delegate
        end()
        delegate?.upstreamClosed(error, mayStillRun: mayStillRun)
    }

    private func end() {
        isClosed = true
        delegate = nil
        backend.link = nil
        backend.leaving.clear()
    }
}
