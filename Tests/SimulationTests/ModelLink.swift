import NIOCore
import PostgresWire

@testable import Upstream

/// The connection to one backend.
final class ModelLink: UpstreamLink {
    let backend: ModelBackend
    private(set) var delegate: (any UpstreamLinkDelegate)?
    private(set) var isReady = false
    private(set) var isClosed = false
    private(set) var isPaused = false
    private unowned let simulation: Simulation
    /// Cancel requests on their way, each with the client whose statement it is meant for.
    private var cancels: [SimulatedClient?] = []
    private var awaitingCancels: [() -> Void] = []

    init(backend: ModelBackend, delegate: any UpstreamLinkDelegate, simulation: Simulation) {
        self.backend = backend
        self.delegate = delegate
        self.simulation = simulation
    }

    /// What the pool that the connection belongs to knows of it.
    var pooled: PooledLink? { delegate as? PooledLink }

    // MARK: The proxy's side

    func send(_ messages: ByteBuffer) {
        if let pooled { simulation.used(backend, pooled) }
        backend.arriving.writeImmutableBuffer(messages)
    }

    func setPaused(_ paused: Bool) { isPaused = paused }

    func cancelRunningStatement() {
        if pooled != nil {
            cancels.append(backend.client)
        } else if backend.hasWork {
            backend.isCancelled = true
        }
    }

    /// The pool calls it when it is given a connection back, a session for its own cancel requests.
    func afterCancels(_ then: @escaping () -> Void) {
        if let pooled, pooled.borrower == nil { simulation.givenBack(backend, pooled) }
        if cancels.isEmpty { then() } else { awaitingCancels.append(then) }
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

    var hasCancels: Bool { isReady && !cancels.isEmpty }

    /// A cancel request reaches the server, which cancels whatever is running.
    func deliverCancel() {
        let client = cancels.removeFirst()
        if backend.hasWork {
            simulation.checkCancels(client, backend)
            backend.isCancelled = true
        }
        guard cancels.isEmpty else { return }
        let waiting = awaitingCancels
        awaitingCancels = []
        for then in waiting { then() }
    }

    /// The connection breaks; what was on its way from the server does not arrive.
    func lose(_ error: PostgresError, mayStillRun: Bool) {
        let delegate = delegate
        end()
        delegate?.upstreamClosed(error, mayStillRun: mayStillRun)
    }

    private func end() {
        guard !isClosed else { return }
        isClosed = true
        if pooled != nil { simulation.released(backend) }
        awaitingCancels = []
        delegate = nil
        backend.link = nil
        backend.leaving.clear()
    }
}
