import Logging
import NIOCore
import NIOPosix
import ProxyConfiguration
import ServiceLifecycle
import Session

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Accepts client connections on every address of the configuration.
struct ClientListener: Sendable {
    let addresses: [ListenAddress]
    let limits: ProxyConfiguration.Limits
    let services: SessionServices
    let registry: ConnectionRegistry
    let group: MultiThreadedEventLoopGroup
    let logger: Logger

    /// Listens on all addresses, or throws `StartError` and listens on none.
    func bind() async throws -> [any Channel] {
        var channels: [any Channel] = []
        for address in addresses {
            do {
                channels.append(try await bind(address))
            } catch {
                for channel in channels { try? await channel.close() }
                throw StartError(
                    key: "listen.address",
                    problem: "cannot listen on \(address): \(Self.reason(error))",
                    allowed: "allowed: an address of this machine whose port is free")
            }
        }
        return channels
    }

    /// Listens for a moment, to see whether that is possible.
    static func tryBinding(
        _ address: ListenAddress, key: String, on group: MultiThreadedEventLoopGroup
    ) async throws {
        do {
            let bootstrap = ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            let channel: any Channel
            switch address {
            case .tcp(let host, let port):
                channel = try await bootstrap.bind(host: host, port: port).get()
            case .unix(let path):
                channel = try await bootstrap.bind(
                    unixDomainSocketPath: path, cleanupExistingSocketFile: try isAbandoned(path)
                ).get()
            }
            try await channel.close()
        } catch {
            throw StartError(
                key: key, problem: "cannot listen on \(address): \(reason(error))",
                allowed: "allowed: an address of this machine whose port is free")
        }
    }

    private func bind(_ address: ListenAddress) async throws -> any Channel {
        // What stays on this machine between two processes is not encrypted, as in the server.
        let isNetwork = if case .tcp = address { true } else { false }
        let highWater = max(limits.writeBuffer.bytes, 16 * 1024)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: highWater / 2, high: highWater)
            )
            .childChannelInitializer { [services, registry] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ClientConnectionHandler(
                            services: services, registry: registry, offersEncryption: isNetwork))
                }
            }
        switch address {
        case .tcp(let host, let port):
            return
                try await bootstrap
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                // A client that is gone without a word is noticed, in the system's own time.
                .childChannelOption(.socketOption(.so_keepalive), value: 1)
                .bind(host: host, port: port).get()
        case .unix(let path):
            return try await bootstrap.bind(
                unixDomainSocketPath: path, cleanupExistingSocketFile: try Self.isAbandoned(path)
            ).get()
        }
    }

    /// Whether a socket file is there that nobody listens on any more. One that somebody does is
    /// left alone: the bind then fails, as it should.
    static func isAbandoned(_ path: String) throws -> Bool {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return false }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let address = try SocketAddress(unixDomainSocketPath: path)
        let result = address.withSockAddr { pointer, size in
            connect(descriptor, pointer, socklen_t(size))
        }
        return result != 0 && errno == ECONNREFUSED
    }

    static func reason(_ error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        switch error.errnoCode {
        case EADDRINUSE: return "the port is in use by another process"
        case EADDRNOTAVAIL: return "this machine has no such address"
        case EACCES: return "permission denied"
        default: return String(cString: strerror(error.errnoCode))
        }
    }
}

/// Keeps the listener's channels until shutdown; then stops accepting, lets what is running
/// finish within the deadline, and closes the rest.
struct ClientService: Service {
    let listener: ClientListener
    let channels: [any Channel]

    func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            for channel in channels { try? await channel.closeFuture.get() }
        } onCancelOrGracefulShutdown: {
            for channel in channels { channel.close(promise: nil) }
        }
        let registry = listener.registry
        listener.logger.notice(
            "stopping: no new sessions; running statements may finish",
            metadata: [
                "sessions": "\(registry.count)", "deadline": "\(listener.limits.drainTimeout)",
            ])
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await registry.drain()
                return true
            }
            group.addTask { [limits = listener.limits] in
                try? await Task.sleep(for: limits.drainTimeout)
                return false
            }
            if await group.next() == false {
                listener.logger.warning(
                    "deadline reached: closing sessions that are still running",
                    metadata: ["sessions": "\(registry.count)"])
                registry.closeAll()
            }
            group.cancelAll()
        }
    }
}
