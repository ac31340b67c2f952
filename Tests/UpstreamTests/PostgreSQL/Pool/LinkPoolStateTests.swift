import TestSupport
import Testing

@testable import Upstream

@Suite("The bookkeeping of a pool")
struct LinkPoolStateTests {
    /// For expressions that change something, which the macro does not take.
    private func check(_ holds: Bool, at location: SourceLocation = #_sourceLocation) {
        #expect(holds, sourceLocation: location)
    }

    final class Link: PoolableLink {
        let loop: Int
        let login: Int
        var settings = ServerSettings()
        var definedNames: Set<String> { settings.definedNames }
        let bornAt: UInt64
        var generation: UInt64 = 0
        var idleSince: UInt64 = 0

        init(loop: Int = 0, login: Int = 0, bornAt: UInt64 = 0) {
            self.loop = loop
            self.login = login
            self.bornAt = bornAt
        }
    }

    final class Demand: PoolDemand {
        let loop: Int
        let login: Int
        var settings = ServerSettings()
        var definedNames: Set<String> { settings.definedNames }
        var neededGeneration: UInt64 = 0
        var waitingSince: UInt64 = 0

        init(loop: Int = 0, login: Int = 0) {
            self.loop = loop
            self.login = login
        }
    }

    typealias State = LinkPoolState<Link, Demand>

    private func begins(_ answer: State.Answer) -> Bool {
        if case .connect(nil) = answer { true } else { false }
    }

    private func waits(_ answer: State.Answer) -> Bool {
        if case .wait = answer { true } else { false }
    }

    private func lent(_ answer: State.Answer) -> Link? {
        if case .lend(let link) = answer { link } else { nil }
    }

    private func idleState(size: Int, _ links: Link...) -> State {
        var state = State(size: size)
        for link in links {
            let demand = Demand(loop: link.loop, login: link.login)
            demand.settings = link.settings
            _ = state.request(demand, now: 0)
            _ = state.connected(link, now: 0)
        }
        for link in links { _ = state.returned(link, now: 0) }
        return state
    }

    @Test("The first demand begins a connection and is served by it")
    func firstDemand() {
        var state = State(size: 1)
        let demand = Demand()
        check(begins(state.request(demand, now: 0)))
        let link = Link()
        guard case .lend(let found, to: let served) = state.connected(link, now: 1) else {
            Issue.record("nobody was served")
            return
        }
        #expect(found === link && served === demand)
        #expect(state.busy == 1 && state.waiting.isEmpty)
    }

    @Test("The connection used last is lent first, and one with the right settings before it")
    func preference() {
        let plain = Link()
        let set = Link()
        set.settings.set("timezone", to: "UTC")
        var state = idleState(size: 2, set, plain)
        check(lent(state.request(Demand(), now: 0)) === plain)
        _ = state.returned(plain, now: 0)
        let demand = Demand()
        demand.settings = set.settings
        check(lent(state.request(demand, now: 0)) === set)
    }

    @Test("A connection on which a custom name exists serves only those for whom it exists")
    func customNames() {
        let link = Link()
        link.settings.set("app.tenant", to: "1")
        link.settings.reset("app.tenant")
        var state = idleState(size: 1, link)
        guard case .connect(closing: let closed?) = state.request(Demand(), now: 0) else {
            Issue.record("it was lent, or nothing made room")
            return
        }
        #expect(closed === link)
    }

    @Test("A login is not answered by a connection that logged in before rights changed")
    func generations() {
        let link = Link()
        var state = idleState(size: 1, link)
        let login = Demand()
        login.neededGeneration = 1
        guard case .connect(closing: let closed?) = state.request(login, now: 0) else {
            Issue.record("it was lent, or nothing made room")
            return
        }
        #expect(closed === link)
    }

    @Test("Startup parameters are part of what a connection is")
    func logins() {
        var state = idleState(size: 2, Link(login: 0))
        check(begins(state.request(Demand(login: 1), now: 0)))
        guard case .keepIdle = state.connected(Link(login: 0), now: 0) else { return }
        #expect(state.waiting.count == 1)
    }

    @Test("Beyond its size a pool makes clients wait, and serves them in order")
    func order() {
        let link = Link()
        var state = idleState(size: 1, link)
        check(lent(state.request(Demand(), now: 0)) === link)
        let demands = [Demand(), Demand(), Demand()]
        for demand in demands { check(waits(state.request(demand, now: 0))) }
        for demand in demands {
            guard case .lend(_, to: let served) = state.returned(link, now: 1) else {
                Issue.record("nobody was served")
                return
            }
            #expect(served === demand)
        }
        guard case .keepIdle = state.returned(link, now: 2) else {
            Issue.record("it should be idle")
            return
        }
        #expect(state.total == 1 && state.idle.count == 1)
    }

    @Test("A client of the same loop may go first, but not for long")
    func patience() {
        let link = Link(loop: 0)
        for (now, isOvertaken) in [(UInt64(1), true), (State.patience, false)] {
            var state = idleState(size: 1, link)
            _ = state.request(Demand(), now: 0)
            let first = Demand(loop: 1)
            let second = Demand(loop: 0)
            _ = state.request(first, now: 0)
            _ = state.request(second, now: 0)
            switch state.returned(link, now: now) {
            case .lend(_, to: let served): #expect(isOvertaken && served === second)
            case .replace(let closed, for: let served):
                #expect(!isOvertaken && closed === link && served === first)
                #expect(state.connecting == 1 && state.busy == 0)
            case .keepIdle, .close: Issue.record("somebody waits")
            }
        }
    }

    @Test(
        "A failed connection is told to one who waited for it; a full server to nobody while others run"
    )
    func failures() {
        var state = idleState(size: 3, Link())
        _ = state.request(Demand(), now: 0)
        let waiting = Demand()
        check(begins(state.request(waiting, now: 0)))
        check(state.connectFailed(login: 0, isServerFull: true) == nil)
        #expect(state.waiting.count == 1)
        check(state.demandToConnect() === waiting)
        check(state.connectFailed(login: 0, isServerFull: false) === waiting)
        #expect(state.waiting.isEmpty && state.connecting == 0)
    }

    @Test("What is old goes, what is idle goes down to the minimum")
    func expiry() {
        let old = Link(bornAt: 0)
        let young = Link(bornAt: 90)
        let other = Link(bornAt: 90)
        var state = idleState(size: 3, old, young, other)
        let gone = state.expire(now: 100, lifetime: 100, idleTimeout: nil, keeping: 0)
        #expect(gone.count == 1 && gone[0] === old)
        let idle = state.expire(now: 100, lifetime: nil, idleTimeout: 100, keeping: 1)
        #expect(idle.count == 1 && state.idle.count == 1)
        check(state.refill(to: 2) == 1)
        #expect(state.connecting == 1)
    }

    @Test("A pool that is made smaller closes what comes back")
    func shrinking() {
        let links = [Link(), Link()]
        var state = idleState(size: 2, links[0], links[1])
        _ = state.request(Demand(), now: 0)
        _ = state.request(Demand(), now: 0)
        state.size = 1
        guard case .close = state.returned(links[0], now: 0),
            case .keepIdle = state.returned(links[1], now: 0)
        else {
            Issue.record("one closes, the other stays")
            return
        }
        #expect(state.total == 1)
    }

    @Test(
        "Whatever happens, connections are neither lost nor made beyond the size", arguments: 0..<20
    )
    func randomEvents(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var state = State(size: 3)
        var lent: [Link] = []
        var begun: [(loop: Int, login: Int)] = []
        var waiting = 0
        func note(_ answer: State.Return) {
            switch answer {
            case .keepIdle, .close: break
            case .lend(let link, to: let demand):
                #expect(link.loop == demand.loop && link.login == demand.login)
                lent.append(link)
            case .replace(_, for: let demand): begun.append((demand.loop, demand.login))
            }
        }
        func connectNext() {
            if let next = state.demandToConnect() { begun.append((next.loop, next.login)) }
        }
        for now in UInt64(0)..<4_000 {
            switch random.next() % 5 {
            case 0, 1:
                let demand = Demand(loop: Int(random.next() % 2), login: Int(random.next() % 2))
                switch state.request(demand, now: now) {
                case .lend(let link): lent.append(link)
                case .connect: begun.append((demand.loop, demand.login))
                case .wait: waiting += 1
                }
            case 2:
                guard !begun.isEmpty else { continue }
                let (loop, login) = begun.removeFirst()
                if random.next() % 4 == 0 {
                    _ = state.connectFailed(login: login, isServerFull: random.next() % 2 == 0)
                } else {
                    note(state.connected(Link(loop: loop, login: login, bornAt: now), now: now))
                }
                connectNext()
            default:
                guard !lent.isEmpty else { continue }
                let link = lent.remove(at: Int(random.next() % UInt64(lent.count)))
                if random.next() % 8 == 0 {
                    state.lost()
                } else {
                    note(state.returned(link, isWorn: random.next() % 16 == 0, now: now))
                }
                connectNext()
            }
            #expect(state.busy == lent.count)
            #expect(state.connecting == begun.count)
            #expect(state.total <= 3)
            // Nobody waits for nothing: something is running or on its way.
            #expect(state.waiting.isEmpty || state.busy + state.connecting > 0)
        }
        #expect(waiting > 0)
    }
}
