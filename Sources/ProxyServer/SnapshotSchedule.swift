import ServiceLifecycle

/// Writes snapshots at an interval, which is not zero.
struct SnapshotSchedule: Service {
    let keeper: SnapshotKeeper

    func run() async throws {
        let interval = keeper.settings.interval
        try? await withGracefulShutdownHandlerCancelling { [keeper] in
            while !Task.isCancelled {
                try await Task.sleep(for: interval)
                await keeper.saveIfAnything()
            }
        }
    }
}
