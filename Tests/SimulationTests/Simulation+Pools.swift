import NIOCore
import PostgresWire

@testable import Session
@testable import Upstream

/// Connections that clients share: who has which, and what must hold when they change hands.
extension Simulation {
    /// Nanoseconds, for the pools: what a step takes the real proxy, and what has been waited for.
    var poolTime: UInt64 { loop.now.uptimeNanoseconds + UInt64(counters.steps) * 100_000 }

    /// The backend that is looked at when it is `client`'s turn. Shared ones that nobody has, or
    /// that are being made, come with any client.
    func backend(for client: SimulatedClient) -> ModelBackend? {
        guard features.pool != nil else { return client.backend }
        if let own = client.backend, !own.isOrphan, chance.permille(700) { return own }
        return upstream.someLink(chance)?.backend
    }

    /// One of all that there are.
    func someBackend() -> ModelBackend? {
        guard features.pool != nil else { return chance.pick(clients).backend }
        return upstream.someLink(chance)?.backend
    }

    // MARK: Changing hands

    private func borrower(of link: PooledLink) -> SimulatedClient? {
        let session: ClientSession? =
            switch link.borrower {
            case let session as ClientSession: session
            case let handler as ClientConnectionHandler: handler.session
            default: nil
            }
        return client(
            named: session?.startup.parameters.first { $0.name == "application_name" }?.value)
    }

    /// Something is about to be sent on a shared connection.
    func used(_ backend: ModelBackend, _ link: PooledLink) {
        let client = borrower(of: link)
        guard client !== backend.client else { return }
        trace("client \(client?.name ?? "(none)") has backend \(backend.processID)")
        if backend.client != nil, client != nil {
            violate("a connection was lent although another client has it")
        }
        released(backend)
        guard let client else { return }
        counters.borrows += 1
        backend.client = client
        backend.isUnmet = true
        client.backend = backend
    }

    /// The client's session goes on without the connection.
    func released(_ backend: ModelBackend) {
        guard let client = backend.client else { return }
        if !backend.isUnmet {
            client.ownSettings = backend.settings
            client.ownSettings.applicationName = client.name
        }
        backend.client = nil
        backend.isUnmet = false
        if client.backend === backend { client.backend = nil }
    }

    /// A connection is on its way back to its pool.
    func givenBack(_ backend: ModelBackend, _ link: PooledLink) {
        trace("backend \(backend.processID) is given back")
        released(backend)
        if backend.transaction != nil {
            violate("backend \(backend.processID) was given back in a transaction")
        }
        if backend.hasWork || backend.arriving.readableBytes + backend.leaving.readableBytes > 0 {
            violate("backend \(backend.processID) was given back with replies outstanding")
        }
        if ModelSettings(link.settings) != backend.settings {
            violate(
                "backend \(backend.processID) has \(backend.settings), not \(link.settings)")
        }
        let names = Set(backend.statements.keys).subtracting([""])
        if names != link.statements.names {
            violate(
                "backend \(backend.processID) has the statements \(names), not "
                    + "\(link.statements.names)")
        }
    }

    /// A client's own message is the next that its connection's server looks at.
    func met(_ client: SimulatedClient, _ backend: ModelBackend) {
        guard backend.settings != client.ownSettings else { return }
        violate(
            "client \(client.name), which has \(client.ownSettings), meets \(backend.settings) "
                + "on backend \(backend.processID)")
    }

    /// A cancel request meets whatever its connection runs.
    func checkCancels(_ client: SimulatedClient?, _ backend: ModelBackend) {
        guard let running = backend.client, running !== client else { return }
        violate("what client \(running.name) runs is cancelled for \(client?.name ?? "nobody")")
    }

    private func violate(_ details: String) {
        violation = violation ?? Violation(.pool, details)
    }

    // MARK: The end

    /// All clients have gone: no connection stays lent, or waited for.
    func emptyPools() throws {
        guard let pools = upstream.pools else { return }
        pools.close()
        loop.run()
        var patience = 5_000
        while let link = upstream.links.first(where: { !$0.isClosed }) {
            patience -= 1
            guard patience > 0 else {
                throw Violation(.pool, "backend \(link.backend.processID) was never given back")
            }
            try finish(link)
            loop.run()
            if let violation { throw violation }
        }
        for figures in pools.figures
        where figures.clients + figures.busy + figures.connecting + figures.waiting > 0 {
            throw Violation(.pool, "although all have gone, the pool counts \(figures)")
        }
    }

    /// An event loop must not go before what it was to do in time.
    func stopPools() {
        guard let pools = upstream.pools else { return }
        pools.close()
        loop.advanceTime(by: .hours(1))
    }

    /// Lets a connection come to rest.
    private func finish(_ link: ModelLink) throws {
        guard link.isReady else { return link.becomeReady() }
        if link.backend.arriving.readableBytes > 0 { try link.backend.receive() }
        if link.backend.hasWork { link.backend.step() }
        if link.hasCancels { link.deliverCancel() }
        if link.canDeliver { link.deliver(link.backend.leaving.readableBytes) }
    }
}

extension ClientConnectionHandler {
    fileprivate var session: ClientSession? {
        if case .session(let session) = phase { session } else { nil }
    }
}

extension ModelBackend {
    /// The first message since the connection was borrowed: until the proxy has made the client's
    /// settings, none of the client's own may come.
    func meet(_ frame: MessageFrame) {
        if frame.tag == FrontendTag.query,
            let text = try? QueryMessage(decoding: frame.body).query, ModelReplay.isReplay(text)
        {
            simulation.trace("client \(client?.name ?? "")'s settings are made: \(text)")
            simulation.counters.replays += 1
            return
        }
        isUnmet = false
        if let client { simulation.met(client, self) }
    }
}
