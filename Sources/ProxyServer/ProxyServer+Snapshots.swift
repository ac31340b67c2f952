import Foundation
import Logging
import NIOCore
import NIOPosix
import ProxyConfiguration
import ServiceLifecycle
import Session
import Snapshots

/// What a proxy with `snapshot.directory` has besides.
struct SnapshotParts {
    let keeper: SnapshotKeeper
    private let registry: ConnectionRegistry
    private let running: [any Service]

    /// nil without a directory. Reads the newest snapshot: to be called before any client is served,
    /// because what it finds out about the database holds only while nobody writes.
    ///
    /// Throws `StartError` where directory or key cannot be used.
    init?(
        _ configuration: ProxyConfiguration, environment: [String: String],
        services: SessionServices, registry: ConnectionRegistry,
        group: MultiThreadedEventLoopGroup, logger: Logger
    ) async throws {
        let settings = configuration.snapshot
        guard let path = settings.directory else { return nil }
        let key = try SnapshotKey(settings, environment: environment)
        let directory = SnapshotDirectory(path: path)
        do {
            try directory.prepare()
        } catch {
            throw StartError(key: "snapshot.directory", problem: "\(error)")
        }
        // A limit on the size of files is an error of that file, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
        // A second list waits for the first; more than a few are nobody's wish.
        let (lists, warmUps) = AsyncStream.makeStream(
            of: WarmUpList.self, bufferingPolicy: .bufferingNewest(2))
        keeper = SnapshotKeeper(
            settings: settings, directory: directory, key: key, policy: configuration.policy,
            services: services, logger: logger, warmUps: warmUps)
        self.registry = registry
        // Fails where another process uses the directory.
        let control = try await SnapshotControl.listen(keeper, on: group)
        let schedule: [any Service] =
            settings.interval > .zero ? [SnapshotSchedule(keeper: keeper)] : []
        running =
            schedule + [
                control,
                WarmUpService(
                    lists: lists, rate: settings.warmUpRate, services: services, registry: registry,
                    group: group, logger: logger),
            ]
        do {
            try directory.removeUnfinished()
            try await keeper.restoreNewest()
        } catch {
            throw StartError(key: "snapshot.directory", problem: "\(error)")
        }
    }

    var services: [ServiceGroupConfiguration.ServiceConfiguration] {
        running.map { .init(service: $0) }
    }

    /// To be called when the last session has been told to end, and the database is still there.
    func stopped() async {
        guard keeper.settings.onShutdown else { return }
        // Connections that were closed at the deadline take a moment to take notice.
        let deadline = ContinuousClock.now + .seconds(2)
        while registry.count > 0, ContinuousClock.now < deadline {
            try? await Task.sleep(for: .milliseconds(10))
        }
        await keeper.saveIfAnything()
    }
}

extension ProxyServer {
    /// For what blocks: not on the cooperative pool.
    static func onThread<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
        }
    }
}
