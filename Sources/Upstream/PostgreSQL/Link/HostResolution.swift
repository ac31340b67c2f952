import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Finds all addresses of a host, as libpq does: each of them is a server to try.
enum HostResolution {
    /// A name server that does not answer holds its threads up, and nothing else.
    private static let threads: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 4)
        pool.start()
        return pool
    }()
    /// More than anybody gives one name.
    private static let maximumAddresses = 64

    /// Empty where the name has no address.
    static func addresses(
        of address: PostgreSQLAddress, eventLoop: any EventLoop
    ) -> EventLoopFuture<[SocketAddress]> {
        if let path = address.unixSocketPath {
            return eventLoop.makeSucceededFuture(
                (try? SocketAddress(unixDomainSocketPath: path)).map { [$0] } ?? [])
        }
        if let known = try? SocketAddress(ipAddress: address.host, port: address.port) {
            return eventLoop.makeSucceededFuture([known])
        }
        return threads.runIfActive(eventLoop: eventLoop) {
            lookUp(address.host, port: address.port)
        }
    }

    /// Blocking.
    private static func lookUp(_ host: String, port: Int) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        #if canImport(Glibc)
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
            hints.ai_socktype = SOCK_STREAM
        #endif
        var first: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &first) == 0 else { return [] }
        defer { freeaddrinfo(first) }
        var found: [SocketAddress] = []
        var next = first
        while let info = next, found.count < maximumAddresses {
            next = info.pointee.ai_next
            guard let raw = info.pointee.ai_addr else { continue }
            switch info.pointee.ai_family {
            case AF_INET:
                raw.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    found.append(SocketAddress($0.pointee))
                }
            case AF_INET6:
                raw.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                    found.append(SocketAddress($0.pointee))
                }
            default: break
            }
        }
        return found
    }
}
