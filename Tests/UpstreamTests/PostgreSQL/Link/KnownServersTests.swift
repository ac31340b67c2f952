import NIOCore
import Synchronization
import Testing

@testable import Upstream

struct KnownServersTests {
    private final class Record: Sendable {
        private let texts = Mutex<[String]>([])
        var all: [String] { texts.withLock { $0 } }
        func add(_ text: String) { texts.withLock { $0.append(text) } }
    }

    private let addresses: [SocketAddress]
    private let changes = Record()
    private let ended = Record()
    private let ids = (0..<4).map { _ in Record() }

    init() throws {
        addresses = [
            try SocketAddress(ipAddress: "127.0.0.1", port: 1),
            try SocketAddress(ipAddress: "127.0.0.1", port: 2),
        ]
    }

    private func servers(isExclusive: Bool) -> KnownServers {
        KnownServers(isExclusive: isExclusive) { [changes] in changes.add($0) }
    }

    private func reach(
        _ servers: KnownServers, _ number: Int, host: Int, database: String = "d"
    ) {
        servers.reached(
            .init(database: database, address: addresses[host], host: host) {
                [ended] in ended.add("\(number)")
            }, id: ObjectIdentifier(ids[number]))
    }

    @Test("The first link to another server is told of, once for each database")
    func change() {
        let servers = servers(isExclusive: false)
        reach(servers, 0, host: 0)
        reach(servers, 1, host: 0)
        #expect(changes.all == [])
        reach(servers, 2, host: 1)
        reach(servers, 2, host: 1)
        reach(servers, 3, host: 1, database: "other")
        #expect(changes.all == ["d"])
        #expect(servers.lastHost == 1)
        #expect(ended.all == [])
    }

    @Test(
        "Links to a former primary are ended, those to the new one and those already over are not")
    func supersession() {
        let servers = servers(isExclusive: true)
        reach(servers, 0, host: 0)
        reach(servers, 1, host: 0, database: "other")
        reach(servers, 2, host: 0)
        servers.ended(ObjectIdentifier(ids[2]))
        reach(servers, 3, host: 1)
        #expect(ended.all.sorted() == ["0", "1"])
        reach(servers, 2, host: 1)
        #expect(ended.all.count == 2)
    }
}
